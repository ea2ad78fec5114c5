"""Gymnasium's own environments, stepped one by one beside a family's arrays."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """The largest differences over the episodes, and how they went.

    `lengths`, `terminated` and `last`, the last observations, are of every environment.
    """

    observation: float
    state: float
    reward: float
    lengths: np.ndarray
    terminated: np.ndarray
    last: np.ndarray


def play_both(venv, originals, policy, *, seed=7):
    """One whole episode in `venv` and in each of `originals`, under the same seeds and actions.

    `policy(venv, observations, rng)` acts on what Gymnasium observed. Both have to end at the
    same steps.
    """
    n, rng = venv.num_envs, np.random.default_rng(seed)
    ours, _ = venv.reset(seed=seed)
    seen = np.stack([env.reset(seed=seed + i)[0] for i, env in enumerate(originals)])
    gaps = {"observation": np.abs(ours - seen).max(), "state": 0.0, "reward": 0.0}
    lengths, terminated, running = np.zeros(n, int), np.zeros(n, bool), np.ones(n, bool)
    while running.any():
        actions = policy(venv, seen, rng)
        ours, rewards, ends, cuts, info = venv.step(actions)
        assert info["stepped"].tolist() == running.tolist()
        for i in np.flatnonzero(running):
            seen[i], reward, end, cut, _ = originals[i].step(actions[i])
            state = np.asarray(originals[i].unwrapped.state, np.float64)
            gaps["observation"] = max(gaps["observation"], np.abs(ours[i] - seen[i]).max())
            gaps["state"] = max(gaps["state"], np.abs(venv._states[:, i] - state).max())
            gaps["reward"] = max(gaps["reward"], abs(rewards[i] - reward) / max(1, abs(reward)))
            assert (ends[i], cuts[i]) == (end, cut)
            terminated[i], lengths[i] = end, lengths[i] + 1
            running[i] = not (end or cut)
    return SideBySide(lengths=lengths, terminated=terminated, last=seen, **gaps)


def assert_exact(both):
    """States to 1e-9, what is handed out in float32 to 1e-6."""
    assert both.state <= 1e-9
    assert max(both.observation, both.reward) <= 1e-6
