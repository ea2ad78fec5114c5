"""What benchmarks find; and collection beside stepping alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from metarl_gan.agents.collector import collect
from metarl_gan.agents.environment_pool import EnvironmentPool
from metarl_gan.bench_timing import Alternative, Ratio, Spread, Timing, time_in_turns
from metarl_gan.components import Components
from metarl_gan.config import Config
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.stepping.processors import available_processors

N_TASKS, ENVS_PER_TASK = 20, 4
MAX_OVERHEAD = 0.2
"""Target: what collecting may take beyond raw stepping, as a share of it."""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """One benchmark's timings on one family, their ratios, and what they are asked to be.

    `comparisons` are of results rather than of times, by name.
    """

    title: str
    timings: Sequence[Timing]
    ratios: Sequence[Ratio]
    target: str | None = None
    comparisons: Mapping[str, Spread] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Plain data."""
        return {
            "title": self.title,
            "target": self.target,
            "timings": [timing.as_json() for timing in self.timings],
            "ratios": [ratio.as_json() for ratio in self.ratios],
            "comparisons": {name: vars(spread) for name, spread in self.comparisons.items()},
        }


def measure_collection(
    family: TaskFamily,
    *,
    seconds: float,
    n_tasks: int = N_TASKS,
    envs_per_task: int = ENVS_PER_TASK,
    threads: Sequence[int] | None = None,
) -> Findings:
    """Time the collector and the very same steps without it, in the same vector environment.

    The steps without it replay the actions that the collector sampled, from the same starts:
    the physics is the same, step by step. torch takes one thread and as many as there are
    processors unless `threads` are given.
    """
    components, counts = fresh_components(family), threads or thread_counts()
    pool = EnvironmentPool(family)
    tasks = family.sample(n_tasks, split="train", seed=0)
    parameters = components.meta_learner.initial_policy(n_tasks)

    def collected() -> torch.Tensor:
        stream = torch.Generator().manual_seed(0)
        venv = pool.get(tasks, envs_per_task)
        return collect(venv, components.policy, parameters, stream, seed=0).batch.actions

    def raw() -> None:
        venv = pool.get(tasks, envs_per_task)
        venv.reset(seed=0)
        for row in drawn:
            venv.step(row)

    drawn = list(collected().movedim(2, 0).flatten(1, 2).numpy())
    steps = len(drawn) * n_tasks * envs_per_task
    alternatives = [
        Alternative(
            name=f"{what}, {threads_text(n)}", transitions=steps, work=work, torch_threads=n
        )
        for n in counts
        for what, work in (("stepping alone", raw), ("collector", collected))
    ]
    timings = time_in_turns(alternatives, seconds=seconds)
    pool.close()
    pairs = zip(counts, timings[::2], timings[1::2], strict=True)
    return Findings(
        title=f"Collection on {family.name}: {n_tasks} tasks × {envs_per_task} environments × "
        f"{len(drawn)} steps",
        timings=timings,
        ratios=[
            Ratio.between(f"collector / stepping alone, {threads_text(n)}", of=collector, to=alone)
            for n, alone, collector in pairs
        ],
        target=f"at most {1 + MAX_OVERHEAD:g} with the faster number of threads",
    )


def fresh_components(family: TaskFamily, config: Config | None = None) -> Components:
    """Fresh networks on the processor, as a run starts with; the default ones if not told."""
    return Components.build(
        config or Config(device="cpu"),
        family.observation_space,
        family.action_space,
        family.horizon,
    )


def thread_counts() -> tuple[int, ...]:
    """One thread of torch, and as many as there are processors."""
    return tuple(sorted({1, available_processors()}))


def threads_text(count: int) -> str:
    """How a number of threads is written in names."""
    return "1 thread" if count == 1 else f"{count} threads"
