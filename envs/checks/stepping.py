"""Checks that environments stepped together do what single ones do, on every backend."""

from collections.abc import Sequence
from contextlib import closing

import numpy as np

from metarl_gan.envs.checks.findings import Findings, naming
from metarl_gan.envs.checks.trace import Difference, Trace
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.stepping.vector import TaskVectorEnv
from metarl_gan.envs.task import Task

_ENVS_PER_TASK = 2
_STEPS = 20  # after a change of tasks: what is left of the old one shows early
_TOLERANCE = 1e-4  # relative; vector environments hold float32


def check_backends(findings: Findings) -> None:
    """Every backend plays each task as make does, and keeps nothing of it when tasks change."""
    tasks = _tasks(findings)
    for backend in checked_backends(findings.family):
        with naming(f"make_vec(..., backend={backend!r})"):
            venv = findings.family.make_vec(tasks, _ENVS_PER_TASK, backend=backend, processes=1)
            with closing(venv):
                if _agrees_with_make(findings, venv, backend):
                    _check_set_tasks(findings, venv, backend)


def check_ends(findings: Findings) -> None:
    """Together, too, episodes end at the horizon, and what has ended stands still."""
    family = findings.family
    with closing(family.make_vec(findings.tasks(2), _ENVS_PER_TASK)) as venv:
        with naming("make_vec"):
            traces = findings.play_rows(venv, steps=family.horizon)
        if not all(trace.ended for trace in traces):
            findings.problem(
                f"make_vec: no end after {family.horizon} steps, the horizon",
                mend="pass the horizon on to TaskVectorEnv",
            )
            return
        drawn = [family.action_space.sample() for _ in range(venv.num_envs)]
        actions = np.stack([venv.action_format.pack(action) for action in drawn])
        _, rewards, terminated, truncated, _ = venv.step(actions)
        if rewards.any() or terminated.any() or truncated.any():
            findings.problem(
                "make_vec: environments that have ended go on",
                mend="they must stand still, with reward 0, until they are reset",
            )


def checked_backends(family: TaskFamily) -> tuple[str, ...]:
    """The backends that `make_vec` may choose by itself, and "sync".

    That leaves out worker processes where there is native stepping: they take long to start.
    """
    return ("native", "sync") if "native" in family.backends else family.backends


def _tasks(findings: Findings) -> list[Task]:
    others = [split for split in findings.family.splits if split != "train"]
    return [*findings.tasks(2), *(task for split in others for task in findings.tasks(1, split))]


def _agrees_with_make(findings: Findings, venv: TaskVectorEnv, backend: str) -> bool:
    rows = findings.play_rows(venv)
    alone = [findings.play(task, row=row) for row, task in enumerate(_played(venv))]
    found = _first_gap(alone, rows)
    if found is None:
        return True
    row, gap = found
    findings.problem(
        f"make and make_vec(backend={backend!r}) disagree on row {row}, {_played(venv)[row].id}, "
        f"from {gap}{_diagnosis(findings, venv.tasks, row, alone, rows)}",
        mend="row i must play tasks[i // envs_per_task], and start as make(task) does with "
        "reset(seed=seed + i)",
    )
    return False


def _check_set_tasks(findings: Findings, venv: TaskVectorEnv, backend: str) -> None:
    """Change the tasks, and change them back."""
    for tasks in (venv.tasks[::-1], venv.tasks):
        venv.set_tasks(tasks)
        rows = findings.play_rows(venv, steps=_STEPS)
        alone = [
            findings.play(task, steps=_STEPS, row=row) for row, task in enumerate(_played(venv))
        ]
        found = _first_gap(alone, rows)
        if found:
            row, gap = found
            findings.problem(
                f"backend {backend!r}: after set_tasks, {_played(venv)[row].id} differs from one "
                f"made anew, from {gap}",
                mend="retask(env, task) must set everything that make(task) sets, from the task "
                "alone and not from what is there; or return False",
            )
            return


def _played(venv: TaskVectorEnv) -> list[Task]:
    return [task for task in venv.tasks for _ in range(venv.envs_per_task)]


def _diagnosis(
    findings: Findings,
    tasks: Sequence[Task],
    row: int,
    alone: Sequence[Trace],
    rows: Sequence[Trace],
) -> str:
    for task in tasks:
        if findings.play(task, row=row).first_difference(rows[row], _TOLERANCE) is None:
            return f"; the row plays {task.id}"
    for other in range(row):
        if _start_alike(rows[other], rows[row]) and not _start_alike(alone[other], alone[row]):
            return f"; it starts as row {other} does"
    return ""


def _start_alike(one: Trace, other: Trace) -> bool:
    return bool((one.observations[0] == other.observations[0]).all())


def _first_gap(left: Sequence[Trace], right: Sequence[Trace]) -> tuple[int, Difference] | None:
    for row, (one, other) in enumerate(zip(left, right, strict=True)):
        gap = one.first_difference(other, _TOLERANCE)
        if gap:
            return row, gap
    return None
