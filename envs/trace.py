"""Short seeded rollouts with random actions, to compare environments by."""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl_gan.envs.vector import TaskVectorEnv


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What random actions led to: `observations [time + 1, ...]`, `rewards [time, ...]`.

    `ended` says whether every episode was over at the last step.
    """

    observations: np.ndarray
    rewards: np.ndarray
    ended: bool

    def difference(self, other: "Trace") -> float:
        """The largest difference of an observation or a reward.

        NaN equals NaN here. Traces of different lengths differ infinitely.
        """
        if self.rewards.shape != other.rewards.shape:
            return np.inf
        seen = _largest_gap(self.observations, other.observations)
        return max(seen, _largest_gap(self.rewards, other.rewards))

    def first_bad(self) -> int:
        """The first step whose observation or reward is not finite; 0 is the reset."""
        good = [bool(np.isfinite(row).all()) for row in self.observations]
        paid = [True, *(bool(np.isfinite(reward).all()) for reward in self.rewards)]
        return int(np.argmin(np.logical_and(good, paid)))

    def inside(self, space: gymnasium.Space) -> bool:
        """Whether every observation is in `space`, a `Box`, give or take float32's rounding."""
        if not isinstance(space, spaces.Box):
            return False
        slack = 1e-5 * (1.0 + np.abs(self.observations))
        low, high = self.observations >= space.low - slack, self.observations <= space.high + slack
        return bool((low & high).all())


def play(env: gymnasium.Env | TaskVectorEnv, *, steps: int, seed: int, close: bool = True) -> Trace:
    """Play one seeded episode of at most `steps` steps with seeded random actions.

    A vector environment of one plays as a plain environment does: same shapes, same actions.
    """
    batched = isinstance(env, TaskVectorEnv)
    n = env.num_envs if batched else 1
    space = env.single_action_space if batched else env.action_space
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    observations, rewards, ended = [_squeezed(observation, n)], [], np.zeros(n, bool)
    while len(rewards) < steps and not ended.all():
        actions = _random_actions(space, n, rng)
        result: Any = env.step(actions if batched else actions[0])
        observation, reward, terminated, truncated, _ = result
        observations.append(_squeezed(observation, n))
        rewards.append(np.asarray(reward, np.float64).reshape(n)[0 if n == 1 else slice(None)])
        ended |= np.asarray(terminated | truncated).reshape(n)
    if close:
        env.close()
    return Trace(
        observations=np.stack(observations), rewards=np.array(rewards), ended=bool(ended.all())
    )


def _largest_gap(left: np.ndarray, right: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        gaps = np.where(np.isnan(left) & np.isnan(right) | (left == right), 0, np.abs(left - right))
    return float(np.nan_to_num(gaps, nan=np.inf, posinf=np.inf).max(initial=0.0))


def _squeezed(observation: np.ndarray, n: int) -> np.ndarray:
    observation = np.array(observation, np.float64)
    return observation.reshape(-1) if n == 1 else observation


def _random_actions(space: gymnasium.Space, n: int, rng: np.random.Generator) -> np.ndarray:
    if isinstance(space, spaces.Discrete):
        return rng.integers(space.start, space.start + space.n, n)
    if not isinstance(space, spaces.Box):
        raise TypeError(f"no random actions for {space}")
    low, high = np.maximum(space.low, -1e3), np.minimum(space.high, 1e3)
    return rng.uniform(low, high, (n, *space.shape)).astype(space.dtype)
