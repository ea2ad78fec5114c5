"""Seeded episodes with random actions, to compare environments by."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl_gan.envs.stepping.vector import TaskVectorEnv

_FARTHEST = 1e3  # stands in for an infinite bound of an action


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first place where two traces differ. Step 0 is the reset; `by` is the gap's size."""

    step: int
    what: str
    by: float

    def __str__(self) -> str:
        return f"step {self.step}: {self.what}"


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What random actions led to, from a reset on.

    Attributes:
        observations: Float64 `[time + 1, obs]`.
        rewards: Float64 `[time]`.
        terminated: Whether the last step terminated the episode.
        truncated: Whether the last step truncated it.
    """

    observations: np.ndarray
    rewards: np.ndarray
    terminated: bool
    truncated: bool

    @property
    def ended(self) -> bool:
        """Whether the episode was over at the last step."""
        return self.terminated or self.truncated

    @property
    def steps(self) -> int:
        """How many steps were played."""
        return len(self.rewards)

    @property
    def end(self) -> str:
        """How it came to an end, e.g. `"truncated after 200 steps"`."""
        how = "terminated" if self.terminated else "truncated" if self.truncated else "goes on"
        return f"{how} after {self.steps} steps"

    def difference(self, other: "Trace") -> float:
        """The largest difference of an observation or a reward; NaN equals NaN.

        Episodes of different lengths, or that ended differently, differ infinitely.
        """
        return self.gap(other) if self.end == other.end else np.inf

    def gap(self, other: "Trace") -> float:
        """As `difference`, of those steps alone that both have."""
        steps = min(self.steps, other.steps)
        seen, theirs = self.observations[: steps + 1], other.observations[: steps + 1]
        if seen.shape != theirs.shape:
            return np.inf
        rewards = _gaps(self.rewards[:steps], other.rewards[:steps])
        return float(max(_gaps(seen, theirs).max(initial=0.0), rewards.max(initial=0.0)))

    def first_difference(self, other: "Trace", tolerance: float = 0.0) -> Difference | None:
        """Where the two part by more than `tolerance` times (1 + what they hold); or `None`."""
        for step in range(min(self.steps, other.steps) + 1):
            for what, left, right in self._pairs(other, step):
                gap = float(_gaps(left, right).max(initial=0.0))
                if gap > tolerance * (1.0 + float(np.nanmax(np.abs(left), initial=0.0))):
                    return Difference(step=step, what=f"{what} {left} against {right}", by=gap)
        if self.end != other.end:
            what = f"the episode {self.end} against {other.end}"
            return Difference(step=min(self.steps, other.steps), what=what, by=np.inf)
        return None

    def _pairs(
        self, other: "Trace", step: int
    ) -> Iterator[tuple[str, np.ndarray | np.float64, np.ndarray | np.float64]]:
        left, right = self.observations[step], other.observations[step]
        if left.shape != right.shape:
            yield "the number of observations", np.float64(left.size), np.float64(right.size)
            return
        for index in np.flatnonzero(_gaps(left, right)).tolist():
            yield f"observation[{index}]", left[index], right[index]
        if step > 0:
            yield "reward", self.rewards[step - 1], other.rewards[step - 1]


def play(
    env: gymnasium.Env | TaskVectorEnv, *, steps: int, seed: int, hold: int = 1, close: bool = True
) -> Trace:
    """Play one episode of at most `steps` steps from `reset(seed=seed)`.

    Args:
        env: An environment, or a vector environment of one: both are given the same actions.
        steps: The longest that the episode is played.
        seed: Of the environment and of the actions.
        hold: For how many steps each random action is kept: noise goes nowhere, a held action
            does.
        close: Whether to close the environment afterwards.
    """
    if isinstance(env, TaskVectorEnv):
        [trace] = play_rows(env, steps=steps, seed=seed, hold=hold)
        if close:
            env.close()
        return trace
    actions = _random_actions(env.action_space, seed, hold)
    recorder = _Recorder(env.reset(seed=seed)[0])
    while recorder.steps < steps and not recorder.ended:
        result: Any = env.step(next(actions))
        recorder.add(*result[:4])
    if close:
        env.close()
    return recorder.trace()


def play_rows(venv: TaskVectorEnv, *, steps: int, seed: int, hold: int = 1) -> list[Trace]:
    """One episode of every environment; row `i` plays as `play(env, seed=seed + i)` does.

    Raises `RuntimeError` where the vector environment says that one broke.
    """
    space = venv.single_action_space
    actions = [_random_actions(space, seed + row, hold) for row in range(venv.num_envs)]
    observations, info = venv.reset(seed=seed)
    _raise_failures(info)
    recorders = [_Recorder(observation) for observation in observations]
    while recorders[0].calls < steps and not all(recorder.ended for recorder in recorders):
        drawn = [venv.action_format.pack(next(row)) for row in actions]
        result: Any = venv.step(np.stack(drawn))
        _raise_failures(result[4])
        for row, recorder in enumerate(recorders):
            recorder.add(*(part[row] for part in result[:4]))
    return [recorder.trace() for recorder in recorders]


def seed_global_generators(seed: int) -> None:
    """Seed the generators that an environment should not, but may, draw from."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - this very generator is meant


class _Recorder:
    """Collects one episode; what comes after its end is left out."""

    def __init__(self, observation: np.ndarray) -> None:
        self.observations = [_flat(observation)]
        self.rewards: list[float] = []
        self.terminated = self.truncated = False
        self.calls = 0

    @property
    def steps(self) -> int:
        return len(self.rewards)

    @property
    def ended(self) -> bool:
        return self.terminated or self.truncated

    def add(
        self, observation: np.ndarray, reward: float, terminated: bool, truncated: bool
    ) -> None:
        self.calls += 1
        if self.ended:
            return
        self.observations.append(_flat(observation))
        self.rewards.append(float(reward))
        self.terminated, self.truncated = bool(terminated), bool(truncated)

    def trace(self) -> Trace:
        return Trace(
            observations=np.stack(self.observations),
            rewards=np.array(self.rewards, np.float64),
            terminated=self.terminated,
            truncated=self.truncated,
        )


def _flat(observation: np.ndarray) -> np.ndarray:
    return np.array(observation, np.float64).reshape(-1)


def _gaps(left: np.ndarray | np.float64, right: np.ndarray | np.float64) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        same = np.isnan(left) & np.isnan(right) | (left == right)
        gaps = np.where(same, 0.0, np.abs(left - right))
    return np.nan_to_num(gaps, nan=np.inf, posinf=np.inf)


def _raise_failures(info: dict[str, Any]) -> None:
    for text in info.get("failures", {}).values():
        first, *_, last = text.strip().splitlines()
        raise RuntimeError(f"{last} in {first.rstrip(':')}")


def _random_actions(space: gymnasium.Space, seed: int, hold: int) -> Iterator[Any]:
    rng = np.random.default_rng(seed)
    while True:
        action = _random_action(space, rng)
        for _ in range(hold):
            yield action


def _random_action(space: gymnasium.Space, rng: np.random.Generator) -> Any:  # noqa: ANN401
    if isinstance(space, spaces.Discrete):
        return space.dtype.type(space.start + rng.integers(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return (space.start + rng.integers(space.nvec)).astype(space.dtype)
    if isinstance(space, spaces.Tuple):
        return tuple(_random_action(part, rng) for part in space.spaces)
    if isinstance(space, spaces.Dict):
        return {name: _random_action(part, rng) for name, part in space.spaces.items()}
    if not isinstance(space, spaces.Box):
        raise TypeError(f"no random actions for {space}")
    low, high = np.maximum(space.low, -_FARTHEST), np.minimum(space.high, _FARTHEST)
    return np.asarray(rng.uniform(low, high), space.dtype)
