"""`python -m metarl_gan.comparison.worker JOB.json`: train and evaluate a method with one seed.

A job that was interrupted goes on where it was when it is started again.
"""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from metarl_gan.adaptation_report import AdaptationReport
from metarl_gan.bench_timing import machine
from metarl_gan.comparison.jobs import RESULT_KIND, ComparisonJob, as_plain
from metarl_gan.envs import TaskFamily, make_family
from metarl_gan.jobs.job import require_same
from metarl_gan.jobs.pool import end_with_parent
from metarl_gan.jobs.worker import obey
from metarl_gan.methods.method import TrainedMethod
from metarl_gan.report_files import installed_versions, write_json


class BudgetExceededError(RuntimeError):
    """A method took more real steps than it was given: a fault of the method."""


def main(argv: Sequence[str]) -> int:
    """Do the job that the file describes; 130 after Ctrl-C or SIGTERM."""
    return obey(argv, lambda path: work(ComparisonJob.read(path)))


def work(job: ComparisonJob) -> None:
    """Train, evaluate and write the result; nothing is written that is not whole.

    Raises:
        BudgetExceededError: for a method that says that it took more real steps than it was given.
        ConfigError: where the method's settings are not here what they were in the plan.
    """
    started = time.perf_counter()
    family = make_family(job.family)
    method = job.choice.make(job.preset)
    require_same(job.run, job.settings, as_plain(method.settings(family)))
    trained = method.train(
        family, seed=job.seed, max_real_steps=job.budget_real_steps, folder=job.run
    )
    if trained.real_steps > job.budget_real_steps:
        raise BudgetExceededError(
            f"{job.name} took {trained.real_steps:,} real steps in training; "
            f"{job.budget_real_steps:,} were allowed"
        )
    report = _adaptation(trained, family, job)
    content = {
        "kind": RESULT_KIND,
        **job.content(),
        "command": job.command,
        "versions": installed_versions(),
        "machine": machine(),
        "seed": job.seed,
        "real_steps": trained.real_steps,
        "validation_real_steps": trained.validation_real_steps,
        "evaluation_real_steps": report.evaluation_real_steps,
        "seconds": {
            "training": trained.training_seconds,
            "wall": time.perf_counter() - started,
            "processor": _processor_seconds(),
        },
        "learning_curve": [asdict(point) for point in trained.learning_curve],
        "adaptation": report.to_dict(),
    }
    write_json(job.result, content)


def _adaptation(trained: TrainedMethod, family: TaskFamily, job: ComparisonJob) -> AdaptationReport:
    plan = job.evaluation
    curve = trained.adaptation_curve(
        family.sample(plan.tasks, split=plan.split, seed=plan.seed),
        plan.episodes,
        seed=plan.seed,
        scored_episodes=plan.scored_episodes,
    )
    return curve.report(
        family,
        arm=job.choice.name,
        split=plan.split,
        seed=plan.seed,
        training_real_steps=trained.real_steps,
        command=job.command,
    )


def _processor_seconds() -> float:
    """Of this process and of those that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main(sys.argv[1:]))
