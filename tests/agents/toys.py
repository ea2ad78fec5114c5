"""Hand-made transitions, and families whose optimum is known."""

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from metarl_gan.envs import ParametricFamily, Uniform
from metarl_gan.envs.transitions import Transitions


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def same_rows(first, second):
    """Whether two records of tensors and numbers are equal to the bit."""
    return all(
        torch.equal(value, getattr(second, name))
        if isinstance(value, torch.Tensor)
        else value == getattr(second, name)
        for name, value in vars(first).items()
    )


def episodes(
    observations,
    rewards,
    *,
    actions=None,
    next_observations=None,
    terminated=None,
    valid=None,
    log_probs=None,
    generated=False,
):
    """Transitions from nested lists or tensors; what is not given is the plainest there is.

    Without `next_observations` each row reaches the next one's observation, and the last row
    stays where it is; the last row is truncated unless it is terminated.
    """
    observations, rewards = torch.as_tensor(observations), torch.as_tensor(rewards)
    leading = rewards.shape
    if next_observations is None:
        next_observations = torch.cat([observations[:, :, 1:], observations[:, :, -1:]], dim=2)
    terminated = _flags(terminated, leading, False)
    truncated = torch.zeros(leading, dtype=torch.bool)
    truncated[..., -1] = ~terminated[..., -1]
    actions = rewards.new_zeros((*leading, 1)) if actions is None else actions
    return Transitions(
        observations=observations,
        actions=torch.as_tensor(actions),
        rewards=rewards,
        next_observations=torch.as_tensor(next_observations),
        terminated=terminated,
        truncated=truncated,
        valid=_flags(valid, leading, True),
        log_probs=torch.zeros_like(rewards) if log_probs is None else torch.as_tensor(log_probs),
        generated=torch.full(leading, generated),
    )


def _flags(values, shape, default):
    return torch.full(shape, default) if values is None else torch.as_tensor(values)


def random_episodes(shape, *, n_obs=3, n_act=2, n_choices=None, seed=0, dtype=torch.float32):
    """Episodes of random lengths: the first of each task ends by termination, half way."""
    noise = stream(seed)
    n_tasks, n_envs, n_steps = shape

    def normal(*size):
        return torch.randn(size, generator=noise, dtype=dtype)

    valid = torch.ones(shape, dtype=torch.bool)
    valid[:, 0, n_steps // 2 :] = False
    terminated = torch.zeros(shape, dtype=torch.bool)
    terminated[:, 0, n_steps // 2 - 1] = True
    actions = normal(*shape, n_act)
    if n_choices is not None:
        actions = torch.randint(0, n_choices, shape, generator=noise)
    return episodes(
        normal(n_tasks, n_envs, n_steps, n_obs),
        normal(*shape),
        actions=actions,
        terminated=terminated,
        valid=valid,
        log_probs=-1.0 - normal(*shape).square(),
    )


class Bandit(gymnasium.Env):
    """Two arms, one pull: the arm on the side of `better` pays 1, the other nothing."""

    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, better):
        self.better = better

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action):
        pays = (action == 1) == (self.better > 0)
        return np.ones(1, np.float32), float(pays), True, False, {}


class Target(gymnasium.Env):
    """One step, quadratic: the reward is `-(action - target)²`, whose optimum is `target`."""

    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)

    def __init__(self, target):
        self.target = target

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action):
        return np.ones(1, np.float32), -float((action[0] - self.target) ** 2), True, False, {}


BANDITS = ParametricFamily(Bandit, {"better": Uniform(-1.0, 1.0)}, horizon=1, name="bandit")
TARGETS = ParametricFamily(Target, {"target": Uniform(-5.0, 5.0)}, horizon=1, name="target")


class Countdown(gymnasium.Env):
    """Ends after `length` steps and counts every step of every instance; rewards echo actions.

    From step `from_step` on (counted from 0) it shows its `fault`: 1 a reward that is NaN, 2 an
    observation that is infinite, 3 an exception; 4 is an exception in `reset`.
    """

    observation_space = spaces.Box(-1e6, 1e6, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    total_steps = 0

    def __init__(self, length, fault=0.0, from_step=1.0):
        self.length, self.fault, self.from_step = length, fault, from_step
        self.count = 0
        self.luck = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self.fault == 4:
            raise RuntimeError("no power")
        self.count, self.luck = 0, float(self.np_random.uniform())
        return self.observation(), {}

    def observation(self):
        return np.array([self.count, self.luck], np.float32)

    def step(self, action):
        broken = self.count >= self.from_step
        type(self).total_steps += 1
        self.count += 1
        observation, reward = self.observation(), float(action[0])
        if broken and self.fault == 1:
            reward = np.nan
        if broken and self.fault == 2:
            observation[1] = np.inf
        if broken and self.fault == 3:
            raise RuntimeError("motor burnt")
        return observation, reward, self.count >= self.length, False, {}


COUNTDOWNS = ParametricFamily(
    Countdown,
    {"length": Uniform(1.0, 100.0), "fault": Uniform(0.0, 4.0), "from_step": Uniform(0.0, 9.0)},
    horizon=6,
    name="countdown",
)
