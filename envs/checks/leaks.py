"""Whether the observation tells the task: then there is nothing to adapt to."""

from contextlib import closing

import numpy as np

from metarl_gan.envs.checks.findings import Findings, naming
from metarl_gan.envs.task import Task

_TASKS = 20
_EPISODES = 2  # per task: what only the start tells differs between them
_STEPS = 30
_WAY = 1  # actions are held for a while, so that what can change does
_EXACT = 0.999  # share of the descriptor's variance that an observation may explain
_STILL = 1e-6  # relative; less is no change


def check_leaks(findings: Findings) -> None:
    """The observation does not give the task away."""
    tasks = findings.tasks(_TASKS)
    if len(tasks) < 2:
        return
    with naming("make_vec"), closing(findings.family.make_vec(tasks, _EPISODES)) as venv:
        rows = findings.play_rows(venv, steps=_STEPS, way=_WAY)
    episodes = [
        [row.observations for row in rows[place * _EPISODES : (place + 1) * _EPISODES]]
        for place in range(len(tasks))
    ]
    told = _told_by_components([np.concatenate(of_task) for of_task in episodes])
    mend = (
        "leave it out of the observation, unless agents are meant to know the task: what they "
        "know they need not find out"
    )
    if len(told):
        findings.warn(
            f"observation{told.tolist()} tells the task: it never changes in {_EPISODES} episodes "
            f"of a task, and differs from task to task ({_examples(tasks, episodes, told[0])})",
            mend=mend,
        )
        return
    names = _told_by_combinations(tasks, episodes, list(findings.family.parameters))
    if names:
        findings.warn(
            f"the observation tells the task: {', '.join(names)} of the descriptor can be computed "
            f"from any single observation, as a weighted sum of its components",
            mend=mend,
        )


def _told_by_components(per_task: list[np.ndarray]) -> np.ndarray:
    """Components that stand still within each task and differ between tasks."""
    scale = 1.0 + np.abs(np.concatenate(per_task)).max(axis=0)
    still = [np.ptp(observations, axis=0) <= _STILL * scale for observations in per_task]
    levels = np.stack([observations[0] for observations in per_task])
    differs = np.ptp(levels, axis=0) > _STILL * scale
    return np.flatnonzero(np.all(still, axis=0) & differs)


def _told_by_combinations(
    tasks: list[Task], episodes: list[list[np.ndarray]], names: list[str]
) -> list[str]:
    """Parameters that a linear regression on observations predicts in other episodes."""
    scale = np.abs(np.concatenate([part for of_task in episodes for part in of_task])).max(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    fitted, x = _regression_rows([of_task[0] / scale for of_task in episodes])
    held_out, x_new = _regression_rows([of_task[1] / scale for of_task in episodes])
    # Tasks, too, are held out: otherwise a few of them can be told apart by chance.
    known = fitted % 3 > 0
    new = held_out % 3 == 0
    if known.sum() < 2 * x.shape[1] or not new.any():
        return []
    descriptors = np.stack([task.descriptor for task in tasks]).astype(np.float64)
    weights = np.linalg.lstsq(x[known], descriptors[fitted[known]], rcond=None)[0]
    truth = descriptors[held_out[new]]
    errors = np.square(x_new[new] @ weights - truth).mean(axis=0)
    spread = truth.var(axis=0)
    exact = (spread > 0) & (errors < (1.0 - _EXACT) * spread)
    if len(names) != len(exact):
        names = [f"component {index}" for index in range(len(exact))]
    return [name for name, found in zip(names, exact, strict=True) if found]


def _regression_rows(episodes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The number of the task of each observation, and the observations with a constant."""
    places = np.repeat(np.arange(len(episodes)), [len(episode) for episode in episodes])
    observations = np.concatenate(episodes)
    return places, np.concatenate([observations, np.ones((len(observations), 1))], axis=1)


def _examples(tasks: list[Task], episodes: list[list[np.ndarray]], component: int) -> str:
    shown = [
        f"{episodes[place][0][0, component]:.4g} in {tasks[place].id}"
        for place in range(min(2, len(tasks)))
    ]
    return f"observation[{component}] is {' and '.join(shown)}"
