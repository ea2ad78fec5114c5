"""Any Gymnasium environments, stepped where it is faster."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.stepping.environment_source import EnvironmentSource
from metarl_gan.envs.stepping.local_rows import LocalRows
from metarl_gan.envs.stepping.looped_vector import LoopedTaskVectorEnv
from metarl_gan.envs.stepping.processors import available_processors
from metarl_gan.envs.stepping.rows import EnvironmentRows, Failures, Outcome
from metarl_gan.envs.stepping.worker_rows import WorkerRows
from metarl_gan.envs.task import Task

WORKER_S = 1.3e-4
"""Seconds that each worker adds to a call: what a call takes whose environments do nothing, less
what they take in one process, shared by the processors. Median of 1000 calls, 8 and 64
environments, 1 to 8 workers: 100 to 140 µs per worker on two processors of a virtual machine
that were busy with other work, too."""

START_S = 3.0
"""Seconds that workers must have been able to save before they are started. A bare one begins in a
third of a second; making environments anew takes what it takes."""


class AutoTaskVectorEnv(LoopedTaskVectorEnv):
    """Begins as `SyncTaskVectorEnv`, and goes on as `AsyncTaskVectorEnv` where that pays.

    Whether it does is seen from how long steps take: not one is spent to find out. Environments
    move once workers would have saved as much time as it takes to start them: those that are soon
    closed never do. They move when new tasks are set or all are reset with a seed, so that the
    numbers are the same as if they had stayed. A family that cannot be sent to other processes
    stays.

    Args:
        family: Builds the environments.
        tasks: The tasks.
        envs_per_task: Environments of each task.
        step_timeout_s: As for `AsyncTaskVectorEnv`, once it is one.
        processes: How many workers there may be; `None` takes one per processor.

    Raises:
        FamilyError: Not one environment can be made.
    """

    def __init__(
        self,
        family: EnvironmentSource,
        tasks: Sequence[Task],
        envs_per_task: int = 1,
        *,
        step_timeout_s: float = 60.0,
        processes: int | None = None,
    ) -> None:
        self._step_timeout_s = step_timeout_s
        self._processes = processes or available_processors()
        super().__init__(family, tasks, envs_per_task)

    def _house(self, family: EnvironmentSource) -> EnvironmentRows:
        make_workers = partial(
            WorkerRows,
            family,
            self.num_envs,
            self.envs_per_task,
            processes=self._processes,
            step_timeout_s=self._step_timeout_s,
        )
        return _MovingRows(family, self.num_envs, self._processes, make_workers)


class _MovingRows(EnvironmentRows):
    """Rows in this process, until workers pay."""

    def __init__(
        self,
        family: EnvironmentSource,
        n_rows: int,
        processes: int,
        make_workers: Callable[[], EnvironmentRows],
    ) -> None:
        self._rows: EnvironmentRows = LocalRows(family)
        self._n_rows, self._make_workers = n_rows, make_workers
        self._n_workers = min(processes, n_rows)
        self._could_have_saved_s = 0.0
        self._moves = self._n_workers > 1
        self._tasks: dict[int, Task] = {}

    @property
    def backend(self) -> str:
        return self._rows.backend

    def assign(self, tasks: Mapping[int, Task]) -> Failures:
        self._tasks |= tasks
        self._move_if_it_pays()
        return self._rows.assign(tasks)

    def start(self, seeds: Mapping[int, int | None]) -> tuple[np.ndarray, Failures]:
        # Of an episode that goes on, or starts where the last one left its random numbers,
        # workers would not know.
        afresh = len(seeds) == self._n_rows and None not in seeds.values()
        if afresh and self._move_if_it_pays():
            self._rows.assign(self._tasks)  # what breaks is tried again, and then reported
        return self._rows.start(seeds)

    def advance(self, rows: np.ndarray, actions: np.ndarray) -> tuple[Outcome, Failures]:
        began = time.perf_counter()
        result = self._rows.advance(rows, actions)
        self._could_have_saved_s += saved_by(self._n_workers, time.perf_counter() - began)
        return result

    def close(self) -> None:
        self._rows.close()

    def _move_if_it_pays(self) -> bool:
        if not self._moves or self._could_have_saved_s < START_S:
            return False
        self._moves = False
        try:
            workers = self._make_workers()
        except FamilyError:
            return False  # it cannot be sent to other processes
        self._rows.close()
        self._rows = workers
        return True


def saved_by(n_workers: int, seconds: float) -> float:
    """What workers save of a call that takes `seconds` in one process; below 0 if they cost."""
    return seconds * (1.0 - 1.0 / n_workers) - n_workers * WORKER_S
