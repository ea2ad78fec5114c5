"""Vector environments that are kept between meta-batches: only their tasks change."""

from collections.abc import Sequence

from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.stepping.backends import Stepping
from metarl_gan.envs.stepping.vector import TaskVectorEnv
from metarl_gan.envs.task import Task

MAX_KEPT = 4
"""Sizes in use at a time: support, query, validation, and a batch with a dropped task."""


class EnvironmentPool:
    """One vector environment per size, re-used by replacing its tasks.

    Args:
        family: Makes them.
        stepping: How they are stepped.
    """

    def __init__(self, family: TaskFamily, stepping: Stepping | None = None) -> None:
        self.family = family
        self._stepping = stepping or Stepping()
        self._kept: dict[tuple[int, int], TaskVectorEnv] = {}

    def get(self, tasks: Sequence[Task], envs_per_task: int) -> TaskVectorEnv:
        """The environments of `tasks`; the last one of the same size stops being usable."""
        size = (len(tasks), envs_per_task)
        venv = self._kept.pop(size, None)
        if venv is None:
            stepping = self._stepping
            venv = self.family.make_vec(
                tasks,
                envs_per_task,
                backend=stepping.backend,
                step_timeout_s=stepping.step_timeout_s,
                processes=stepping.processes,
            )
        else:
            venv.set_tasks(tasks)
        self._kept[size] = venv
        if len(self._kept) > MAX_KEPT:
            self._kept.pop(next(iter(self._kept))).close()
        return venv

    def close(self) -> None:
        """Close every environment."""
        while self._kept:
            self._kept.popitem()[1].close()
