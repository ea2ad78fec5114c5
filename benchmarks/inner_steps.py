"""Memory and time of an outer gradient through many inner steps, kept or done again.

    python benchmarks/inner_steps.py

20 tasks × 1000 random rows a step, networks of 2 × 64, one thread, all tasks at once. Memory is the
most that torch had allocated at a time in one gradient, beside what was there before it.
"""

import os
import time
from pathlib import Path
from typing import cast

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import gymnasium
import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from metarl_gan.agents.policies import GaussianPolicy
from metarl_gan.agents.policy_gradient import MixedRows
from metarl_gan.bench_learners import N_ACTIONS, N_OBSERVATIONS, random_rows
from metarl_gan.config import LearnerConfig
from metarl_gan.learners.gradient import GradientMetaLearner
from metarl_gan.learners.meta_objective import MetaObjective
from metarl_gan.meta_learner import Adapted
from metarl_gan.processor import use_processor
from metarl_gan.report_files import installed_versions, write_json

RESULTS = Path(__file__).parent / "results" / "inner_steps"
N_TASKS, N_ROWS = 20, 1000
INNER_STEPS, TIMED = (5, 20), 5


def main() -> None:
    """Measure, print and write."""
    use_processor(1)
    rows = [measure(steps, again=again) for steps in INNER_STEPS for again in (False, True)]
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    write_json(
        RESULTS / "inner-steps.json",
        {
            "command": "python benchmarks/inner_steps.py",
            "versions": installed_versions(),
            "rows": rows,
        },
    )


def measure(inner_steps: int, *, again: bool) -> dict[str, float]:
    """One row: most memory at a time, and processor time of the median gradient."""
    learner, objective = a_meta_batch(inner_steps, again=again)

    def gradient() -> None:
        learner.execution.gradient(objective.loss, learner.learnt, objective.size)

    gradient()
    seconds = []
    for _ in range(TIMED):
        begun = time.process_time()
        gradient()
        seconds.append(time.process_time() - begun)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        gradient()
    return {
        "inner_steps": inner_steps,
        "done_again": again,
        "megabytes": round(most_allocated(profiler) / 1e6, 1),
        "processor_seconds": round(float(np.median(seconds)), 3),
    }


def a_meta_batch(inner_steps: int, *, again: bool) -> tuple[GradientMetaLearner, MetaObjective]:
    """A learner, and a meta-batch of random rows as its initial policy would have played them."""
    stream = torch.Generator().manual_seed(0)
    actions = gymnasium.spaces.Box(-1.0, 1.0, (N_ACTIONS,), np.float32)
    policy = GaussianPolicy(actions, N_OBSERVATIONS, (64, 64))
    config = LearnerConfig(
        inner_steps=inner_steps, checkpoint_inner_steps=again, execution="batched"
    )
    learner = GradientMetaLearner(policy, config, stream)
    initial = learner.initial_policy(N_TASKS)
    *drawn, query = (random_rows(policy, initial, N_ROWS, stream) for _ in range(inner_steps + 1))
    adapted = Adapted(parameters={}, drawn=tuple(MixedRows(real=rows) for rows in drawn))
    return learner, learner.objective(adapted, query)


def most_allocated(profiler: profile) -> int:
    """Bytes: the highest that allocations less what was freed came to."""
    found = profiler.profiler
    assert found is not None
    assert found.kineto_results is not None
    events = [event for event in found.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return int(np.cumsum([cast("int", event.nbytes()) for event in events]).max())


if __name__ == "__main__":
    main()
