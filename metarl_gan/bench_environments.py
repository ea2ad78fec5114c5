"""Steps per second of every way to step a family's environments, and of the physics alone."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from metarl_gan.bench_cases import Findings
from metarl_gan.bench_timing import Alternative, Ratio, Timing, time_in_turns
from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.mujoco.api import MjData, mj_step
from metarl_gan.envs.stepping.processors import available_processors

N_ENVS = 64
N_STEPS = 100
PER_PROCESSOR = 4
"""Environments per processor where each has a process of its own: more only get in each
other's way."""
ACTION_SCALE = 0.1
"""Of the action space: so small that robots stay on their feet, and all do the same work."""
MIN_SHARE_OF_PHYSICS = 0.8


@dataclass(frozen=True, kw_only=True)
class _Entrant:
    """A vector environment to time. `step_all(actions)` steps every environment once."""

    name: str
    n_envs: int
    reset: Callable[[], object]
    step_all: Callable[[Any], object]
    close: Callable[[], object]


def measure_environments(
    family: TaskFamily, *, seconds: float, n_envs: int = N_ENVS, n_steps: int = N_STEPS
) -> Findings:
    """Time `n_steps` steps of all environments: ours, Gymnasium's, Stable-Baselines3's.

    What each of the others steps is the environment that the family is built on, without our
    reward, where there is one. Environments that end are reset within the step.

    Raises `FamilyError` for actions of several parts.
    """
    if not isinstance(family.action_space, spaces.Box | spaces.Discrete):
        raise FamilyError(
            f"{family.name} has the actions {family.action_space}, which the libraries compared "
            "take in different ways: give a family with Box or Discrete actions"
        )
    few = min(n_envs, PER_PROCESSOR * available_processors())
    entrants = [_ours(family, backend, n_envs) for backend in family.backends]
    make = _builder(family)
    entrants += [_gymnasium(make, n_envs, SyncVectorEnv), _gymnasium(make, few, AsyncVectorEnv)]
    entrants += [_sb3(make, n_envs, DummyVecEnv), _sb3(make, few, SubprocVecEnv)]
    alternatives = [_alternative(entrant, family.action_space, n_steps) for entrant in entrants]
    physics = _physics(family, n_envs, n_steps)
    timings = time_in_turns([*alternatives, *physics], seconds=seconds)
    for entrant in entrants:
        entrant.close()
    ours, others = timings[: len(family.backends)], timings[len(family.backends) : len(entrants)]
    return Findings(
        title=f"Stepping {family.name}, {n_envs} environments",
        timings=timings,
        ratios=_ratios(ours[0], others, timings[len(entrants) :]),
        target=_target(bool(physics)),
    )


def _ratios(first: Timing, others: Sequence[Timing], physics: Sequence[Timing]) -> list[Ratio]:
    best = min(others, key=lambda timing: timing.wall_microseconds.median)
    pairs = [
        (best, "speed against the best of the others"),
        *((one, "share of") for one in physics),
    ]
    return [
        Ratio.between(f"{first.name}: {what} ({other.name})", of=other, to=first)
        for other, what in pairs
    ]


def _target(has_physics: bool) -> str:
    wanted = "at least 1 against the best of the others"
    if has_physics:
        wanted += f", {MIN_SHARE_OF_PHYSICS:g} of mj_step alone (processor time)"
    return wanted


def _ours(family: TaskFamily, backend: str, n_envs: int) -> _Entrant:
    venv = family.make_vec(family.sample(n_envs, seed=0), backend=backend)

    def step_all(actions: np.ndarray) -> None:
        _, _, terminated, truncated, _ = venv.step(actions)
        ended = terminated | truncated
        if ended.any():
            venv.reset(options={"reset_mask": ended})

    return _Entrant(
        name=f"metarl-gan {backend} × {n_envs}",
        n_envs=n_envs,
        reset=lambda: venv.reset(seed=0),
        step_all=step_all,
        close=venv.close,
    )


def _builder(family: TaskFamily) -> Callable[[], gymnasium.Env]:
    """What the others step: the environment beneath the family's, or the family's."""
    [task] = family.sample(1, seed=0)
    beneath = family.make(task).unwrapped.spec
    if beneath is None:
        return lambda: family.make(task)
    return lambda: gymnasium.make(
        beneath, max_episode_steps=family.horizon, disable_env_checker=True
    )


def _gymnasium(
    make: Callable[[], gymnasium.Env],
    n_envs: int,
    kind: type[SyncVectorEnv] | type[AsyncVectorEnv],
) -> _Entrant:
    venv = kind([make] * n_envs, autoreset_mode=AutoresetMode.SAME_STEP)
    return _Entrant(
        name=f"Gymnasium {kind.__name__.removesuffix('VectorEnv')} × {n_envs}",
        n_envs=n_envs,
        reset=lambda: venv.reset(seed=0),
        step_all=venv.step,
        close=venv.close,
    )


def _sb3(
    make: Callable[[], gymnasium.Env], n_envs: int, kind: type[DummyVecEnv] | type[SubprocVecEnv]
) -> _Entrant:
    venv = kind([make] * n_envs)
    return _Entrant(
        name=f"Stable-Baselines3 {kind.__name__.removesuffix('VecEnv')} × {n_envs}",
        n_envs=n_envs,
        reset=venv.reset,
        step_all=venv.step,
        close=venv.close,
    )


def _alternative(entrant: _Entrant, space: gymnasium.Space, n_steps: int) -> Alternative:
    actions = _actions(space, n_steps, entrant.n_envs)

    def play() -> None:
        entrant.reset()
        for row in actions:
            entrant.step_all(row)

    return Alternative(name=entrant.name, transitions=n_steps * entrant.n_envs, work=play)


def _physics(family: TaskFamily, n_envs: int, n_steps: int) -> list[Alternative]:
    """MuJoCo's own step from the same starts under the same actions, and nothing else."""
    env: Any = family.make(family.sample(1, seed=0)[0]).unwrapped
    if env.spec is None or "mujoco" not in str(env.spec.entry_point):
        return []
    actions = _actions(family.action_space, n_steps, n_envs)
    starts = []
    for index in range(n_envs):
        env.reset(seed=index)
        starts.append((env.data.qpos.copy(), env.data.qvel.copy()))
    slots = [MjData(env.model) for _ in range(n_envs)]

    def play(share: slice) -> None:
        for slot, (positions, velocities) in zip(slots[share], starts[share], strict=True):
            slot.qpos[:], slot.qvel[:] = positions, velocities
        for row in actions:
            for slot, action in zip(slots[share], row[share], strict=True):
                slot.ctrl[:] = action
            deque(map(mj_step, repeat(env.model), slots[share], repeat(env.frame_skip)), maxlen=0)

    n_threads = available_processors()
    shares = [slice(first, None, n_threads) for first in range(n_threads)]

    def play_on_all() -> None:
        with ThreadPoolExecutor(n_threads) as pool:
            deque(pool.map(play, shares), maxlen=0)

    steps = n_steps * n_envs
    return [
        Alternative(
            name="mj_step alone, one thread", transitions=steps, work=lambda: play(slice(None))
        ),
        Alternative(
            name=f"mj_step alone, {n_threads} threads", transitions=steps, work=play_on_all
        ),
    ][: min(n_threads, 2)]


def _actions(space: gymnasium.Space, n_steps: int, n_envs: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    if isinstance(space, spaces.Discrete):
        return rng.integers(space.start, space.start + space.n, (n_steps, n_envs))
    assert isinstance(space, spaces.Box)  # others are refused
    drawn = rng.uniform(space.low, space.high, (n_steps, n_envs, *space.shape))
    return (ACTION_SCALE * drawn).astype(np.float32)
