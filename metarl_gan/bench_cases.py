"""What the benchmarks time: collection and imagination, and what they are compared with."""

from collections.abc import Sequence
from dataclasses import dataclass

import gymnasium
import numpy as np
import torch

from metarl_gan.agents.collector import collect
from metarl_gan.agents.environment_pool import EnvironmentPool
from metarl_gan.bench_timing import Alternative, Ratio, Timing, time_in_turns
from metarl_gan.components import Components
from metarl_gan.config import Config
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.stepping.vector import TaskVectorEnv
from metarl_gan.imagination import imagine

N_TASKS, ENVS_PER_TASK = 20, 4
MANY_ROLLOUTS = 100
MAX_OVERHEAD = 0.2
"""Target: what collecting may take beyond raw stepping, as a share of it."""
MIN_SPEED_UP = 5.0
"""Target: how many times faster imagining a transition is than stepping for it."""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """One benchmark's timings on one family, their ratios, and what they are asked to be."""

    title: str
    timings: Sequence[Timing]
    ratios: Sequence[Ratio]
    target: str | None = None

    def as_json(self) -> dict[str, object]:
        """Plain data."""
        return {
            "title": self.title,
            "target": self.target,
            "timings": [timing.as_json() for timing in self.timings],
            "ratios": [ratio.as_json() for ratio in self.ratios],
        }


def measure_collection(
    family: TaskFamily,
    *,
    seconds: float,
    n_tasks: int = N_TASKS,
    envs_per_task: int = ENVS_PER_TASK,
) -> Findings:
    """Time the collector and the very same steps without it, in the same vector environment.

    The steps without it replay the actions that the collector sampled, from the same starts:
    the physics is the same, step by step.
    """
    components = _components(family)
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
        Alternative(name=f"{what}, {_threads(n)}", transitions=steps, work=work, torch_threads=n)
        for n in _thread_counts()
        for what, work in (("stepping alone", raw), ("collector", collected))
    ]
    timings = time_in_turns(alternatives, seconds=seconds)
    pool.close()
    pairs = zip(_thread_counts(), timings[::2], timings[1::2], strict=True)
    return Findings(
        title=f"Collection on {family.name}: {n_tasks} tasks × {envs_per_task} environments × "
        f"{len(drawn)} steps",
        timings=timings,
        ratios=[
            Ratio.between(f"collector / stepping alone, {_threads(n)}", of=collector, to=alone)
            for n, alone, collector in pairs
        ],
        target=f"at most {1 + MAX_OVERHEAD:g} with the faster number of threads",
    )


def measure_imagination(
    family: TaskFamily,
    single: gymnasium.Env,
    *,
    seconds: float,
    n_tasks: int = N_TASKS,
    rollouts: Sequence[int] | None = None,
) -> Findings:
    """Time imagined transitions and real steps: of one environment, and of our vector one.

    Rollouts per task are those of the default config and `MANY_ROLLOUTS` if not given.
    """
    components = _components(family)
    tasks = family.sample(n_tasks, split="train", seed=0)
    venv = family.make_vec(tasks, ENVS_PER_TASK)
    sizes = rollouts or (components.config.augmentation.rollouts_per_task, MANY_ROLLOUTS)
    real = [_stepping(single, family.horizon), _vector_stepping(venv)]
    imagined = [
        _imagining(components, venv, size, threads)
        for threads in _thread_counts()
        for size in sizes
    ]
    timings = time_in_turns([*real, *imagined], seconds=seconds)
    venv.close()
    return Findings(
        title=f"Imagination on {family.name}, {family.horizon} steps, default networks",
        timings=timings,
        ratios=[
            Ratio.between(f"{step.name} / {dream.name}", of=step, to=dream)
            for dream in timings[len(real) :]
            for step in timings[: len(real)]
        ],
        target=f"at least {MIN_SPEED_UP:g} against {real[0].name}",
    )


def _components(family: TaskFamily) -> Components:
    """Fresh default networks on the processor, as a run starts with."""
    return Components.build(
        Config(device="cpu"), family.observation_space, family.action_space, family.horizon
    )


def _stepping(env: gymnasium.Env, n_steps: int) -> Alternative:
    actions = _drawn_actions(env.action_space, n_steps)

    def step() -> None:
        env.reset(seed=0)
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    name = env.spec.id if env.spec else "environment"
    return Alternative(name=f"stepping one {name}", transitions=n_steps, work=step)


def _vector_stepping(venv: TaskVectorEnv) -> Alternative:
    actions = _drawn_actions(venv.action_space, venv.horizon)

    def step() -> None:
        venv.reset(seed=0)
        for row in actions:
            venv.step(row)

    return Alternative(
        name=f"stepping {venv.num_envs} together",
        transitions=venv.horizon * venv.num_envs,
        work=step,
    )


def _imagining(
    components: Components, venv: TaskVectorEnv, n_rollouts: int, threads: int
) -> Alternative:
    gan, n_tasks = components.gan, len(venv.tasks)
    assert gan is not None  # the default config has a generator
    parameters = components.meta_learner.initial_policy(n_tasks)
    encoding = torch.zeros(n_tasks, components.config.encoder.encoding_size)
    observations, _ = venv.reset(seed=0)
    starts = torch.from_numpy(observations[:1]).expand(n_tasks, n_rollouts, -1)

    def dream() -> None:
        stream = torch.Generator().manual_seed(0)
        imagine(gan, components.policy, parameters, encoding, starts, venv.horizon, stream)

    return Alternative(
        name=f"imagining {n_tasks} tasks × {n_rollouts} rollouts, {_threads(threads)}",
        transitions=n_tasks * n_rollouts * venv.horizon,
        work=dream,
        torch_threads=threads,
    )


def _drawn_actions(space: gymnasium.Space, n_steps: int) -> list[np.ndarray]:
    space.seed(0)
    return [space.sample() for _ in range(n_steps)]


def _thread_counts() -> tuple[int, ...]:
    """One thread of torch, and as many as a run takes by default."""
    return tuple(sorted({1, Config().torch_threads}))


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
