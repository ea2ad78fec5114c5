"""`python -m metarl_gan.ablation.worker JOB.json`: train and evaluate one arm with one seed.

A job that was interrupted goes on where it was when it is started again.
"""

import json
import re
import statistics
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import metarl_gan
from metarl_gan.ablation.jobs import RESULT_KIND, AblationJob
from metarl_gan.agent import MetaAgent
from metarl_gan.bench_timing import machine
from metarl_gan.commands import EVALUATION_FOLDER
from metarl_gan.config_io import to_plain
from metarl_gan.jobs.pool import end_with_parent
from metarl_gan.jobs.worker import obey
from metarl_gan.report_files import installed_versions, write_json
from metarl_gan.run_folder import CONFIG, LAST, RunFolder
from metarl_gan.run_log import read_metrics

OUTER_STEPS = re.compile(r"meta_learner\.optimiser\.\d+\.step")


def main(argv: list[str]) -> int:
    """Do the job that the file describes; 130 after Ctrl-C or SIGTERM."""
    return obey(argv, lambda path: work(AblationJob.read(path)))


def work(job: AblationJob) -> None:
    """Train, evaluate and write the result; nothing is written that is not whole."""
    agent, evaluation = _trained(job), job.evaluation
    sides = {"generated": True} if agent.config.uses_generator else {}
    reports = {
        name: metarl_gan.evaluate(
            agent,
            split=evaluation.split,
            tasks=evaluation.tasks,
            episodes=evaluation.episodes,
            seed=evaluation.seed,
            generated=side,
        ).to_dict()
        for name, side in {**sides, "real_only": False}.items()
    }
    content = {
        "kind": RESULT_KIND,
        "arm": asdict(job.arm),
        "seed": job.config.seed,
        "command": job.command,
        "versions": installed_versions(),
        "machine": machine(),
        "evaluation": asdict(evaluation),
        "config": to_plain(job.config),
        **_spent(job),
        "reports": reports,
        "fidelity": _fidelity(agent, job),
    }
    write_json(job.result, content)


def _trained(job: AblationJob) -> MetaAgent:
    """The agent: trained, or trained to the end, or only loaded, by what the run folder holds."""
    if (job.run / CONFIG).is_file():
        if RunFolder.open(job.run).has(LAST):
            return metarl_gan.train(job.config.family, resume=job.run)
        return metarl_gan.train(job.config.family, job.config, out=job.run, overwrite=True)
    return metarl_gan.train(job.config.family, job.config, out=job.run)


def _spent(job: AblationJob) -> dict[str, object]:
    """What training took, by the run's own counters and its optimiser's."""
    _, tensors, state = RunFolder.open(job.run).load(LAST)
    counters: Mapping[str, Any] = {**state["learner"], **state["counters"]}
    # What else is there are lists of tasks.
    numbers = {name: value for name, value in counters.items() if isinstance(value, int | float)}
    steps = [int(value) for name, value in tensors.items() if OUTER_STEPS.fullmatch(name)]
    shares = [row["generated_share"] or 0.0 for row in read_metrics(job.run)]
    return {
        "counters": numbers,
        "spent": {
            "real_steps": counters["real_steps"],
            "meta_iterations": counters["meta_iterations"],
            # Reptile has no optimiser: it makes one step per meta-iteration.
            "outer_steps": max(steps, default=counters["meta_iterations"]),
            "generator_updates": counters.get("gan_updates", 0),
            "simulator_steps": counters.get("simulator_steps", 0),
        },
        "training_seconds": counters["training_seconds"],
        "training_generated_share": statistics.fmean(shares) if shares else 0.0,
    }


def _fidelity(agent: MetaAgent, job: AblationJob) -> object:
    """The fidelity report as it saves itself; None for an agent whose generator learns nothing."""
    if agent.components.gan is None or not job.evaluation.fidelity_tasks:
        return None
    report = metarl_gan.fidelity(
        agent,
        split=job.evaluation.split,
        tasks=min(job.evaluation.fidelity_tasks, job.evaluation.tasks),
        episodes=1,
        seed=job.evaluation.seed,
    )
    files = report.save(job.run / EVALUATION_FOLDER)
    return json.loads(files["json"].read_text(encoding="utf-8"))


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main(sys.argv[1:]))
