"""Whole episodes of many tasks at once, to measure what a policy is worth."""

import numpy as np
from gymnasium import spaces


def first_action(venv, observations, rng):
    """Zero, or the first of discrete actions: the floor "zero_action"."""
    space = venv.single_action_space
    if isinstance(space, spaces.Discrete):
        return np.full(venv.num_envs, space.start)
    return np.zeros((venv.num_envs, *space.shape), np.float32)


def random_action(venv, observations, rng):
    space = venv.single_action_space
    if isinstance(space, spaces.Discrete):
        return space.start + rng.integers(space.n, size=venv.num_envs)
    return rng.uniform(space.low, space.high, (venv.num_envs, *space.shape)).astype(np.float32)


FLOOR_POLICIES = {"zero_action": first_action, "random": random_action}


def returns(family, policy, *, split="train", n_tasks=100, envs_per_task=2, seed=0):
    """The return of one whole episode per environment, `[n_tasks * envs_per_task]`."""
    venv = family.make_vec(family.sample(n_tasks, split=split, seed=seed), envs_per_task)
    rng = np.random.default_rng(seed)
    observations, _ = venv.reset(seed=seed)
    total, ended = np.zeros(venv.num_envs), np.zeros(venv.num_envs, bool)
    for _ in range(family.horizon):
        step = venv.step(policy(venv, observations, rng))
        observations, rewards, terminated, truncated, _ = step
        total += rewards
        ended |= terminated | truncated
    assert ended.all()
    return total
