"""Checks of what episodes consist of: numbers, and an end."""

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl_gan.envs.checks.findings import SHORT, Findings
from metarl_gan.envs.checks.trace import Trace
from metarl_gan.envs.stepping.single import SingleTaskEnv

_EPISODES = 2  # per task, of noise and of actions that are held for a while


def check_values(findings: Findings) -> None:
    """Observations and rewards are finite and in their spaces."""
    family = findings.family
    for task in [*findings.of_every_split(1), *findings.corner_tasks()]:
        for way in range(_EPISODES):
            trace = findings.play(task, steps=min(family.horizon, 2 * SHORT), way=way)
            if _bad_value(findings, trace, f"in a random episode of {task.id}"):
                return


def check_time_limit(findings: Findings) -> None:
    """Episodes end at the horizon."""
    family = findings.family
    [task] = findings.tasks(1)
    longest = findings.play(task, steps=family.horizon)
    for way in range(1, _EPISODES):
        if longest.terminated:
            other = findings.play(task, steps=family.horizon, way=way)
            longest = max(longest, other, key=lambda trace: trace.steps)
    mend = f"wrap the environment in gymnasium.wrappers.TimeLimit(env, {family.horizon})"
    if not longest.ended:
        findings.problem(
            f"no end after {family.horizon} steps, the horizon, in an episode of {task.id}",
            mend=mend,
        )
    elif longest.truncated and longest.steps < family.horizon:
        findings.warn(
            f"{task.id} is truncated after {longest.steps} steps; the horizon is {family.horizon}",
            mend="declare the horizon that the environment has",
        )
    elif longest.terminated and not _has_time_limit(family.make(task)):
        findings.warn(
            f"no time limit was seen: every random episode of {task.id} terminated before, the "
            f"longest after {longest.steps} of {family.horizon} steps",
            mend=mend,
        )


def _bad_value(findings: Findings, trace: Trace, where: str) -> bool:
    space = findings.family.observation_space
    bad = ~np.isfinite(trace.observations)
    if bad.any():
        step, index = np.argwhere(bad)[0]
        findings.problem(
            f"observation[{index}] is {trace.observations[step, index]} at step {step} {where}",
            mend="keep the state finite: bound speeds, and do not divide by what may be 0",
        )
        return True
    if not np.isfinite(trace.rewards).all():
        step = int(np.argmin(np.isfinite(trace.rewards)))
        findings.problem(
            f"the reward is {trace.rewards[step]} at step {step + 1} {where}",
            mend="keep the reward finite",
        )
        return True
    return isinstance(space, spaces.Box) and _outside(findings, trace, space, where)


def _outside(findings: Findings, trace: Trace, space: spaces.Box, where: str) -> bool:
    seen = trace.observations
    slack = 1e-5 * (1.0 + np.abs(seen))  # float32 rounds
    outside = (seen < space.low - slack) | (seen > space.high + slack)
    if not outside.any():
        return False
    step, index = np.argwhere(outside)[0]
    low, high = space.low[index], space.high[index]
    findings.problem(
        f"observation[{index}] is {seen[step, index]:g} at step {step} {where}, outside of the "
        f"space's [{low:g}, {high:g}]",
        mend="clip it, or declare bounds that hold for every task (infinite ones if need be)",
    )
    return True


def _has_time_limit(env: gymnasium.Env) -> bool:
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            return True
        env = env.env
    return isinstance(env, SingleTaskEnv)
