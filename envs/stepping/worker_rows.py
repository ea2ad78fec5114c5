"""Environments in worker processes, which may die or hang without taking the others along."""

import os
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from metarl_gan.envs.action_format import action_format
from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.stepping.crew import Company, Crew
from metarl_gan.envs.stepping.environment_source import EnvironmentSource
from metarl_gan.envs.stepping.episode_log import EpisodeLog
from metarl_gan.envs.stepping.freight import Freight
from metarl_gan.envs.stepping.rows import EnvironmentRows, Failures, Outcome
from metarl_gan.envs.stepping.shared_arrays import Layout, SharedArrays
from metarl_gan.envs.stepping.worker_process import WorkerLostError, WorkerStartError
from metarl_gan.envs.task import Task

CLOSING_S = 3.0
"""Seconds that workers have to close their environments."""


class WorkerRows(EnvironmentRows):
    """Environments that workers make, reset and step, all workers at the same time.

    When a worker dies, or an environment takes too long, that environment is reported with what
    the worker could say of it. The worker is replaced, and its other environments are brought
    back to where they were: by the seed of their reset and their actions since. One that was
    reset without a seed cannot be; it is reported, too.

    Args:
        family: Builds the environments; each worker has a copy of it.
        n_rows: How many environments there will be.
        envs_per_task: Neighbours that are best kept together.
        processes: How many workers, if there are as many rows.
        step_timeout_s: Longest time of a step; making and resetting may take ten times that.

    Raises:
        FamilyError: The family cannot be sent to other processes, or cannot be loaded there.
    """

    def __init__(
        self,
        family: EnvironmentSource,
        n_rows: int,
        envs_per_task: int,
        *,
        processes: int,
        step_timeout_s: float,
    ) -> None:
        if os.name != "posix":
            raise FamilyError(f'{family.name}: backend="async" needs POSIX; give backend="sync"')
        self._family = family
        shape = family.observation_space.shape or ()
        actions = action_format(family.action_space)
        shares = spread(n_rows, envs_per_task, processes)
        self._company = Company(
            log=EpisodeLog(n_rows, family.horizon, shape, actions),
            tasks={},
            freight=Freight.of(family),
            step_timeout_s=step_timeout_s,
            arrays=SharedArrays.create(Layout.of(n_rows, len(shares), shape, actions)),
        )
        self._crews = [Crew(self._company, number, rows) for number, rows in enumerate(shares)]
        self._finalizer = weakref.finalize(
            self, _dismiss, self._crews, self._company.arrays, os.getpid()
        )
        try:
            self._launch()
        except BaseException:
            self.close()
            raise

    @property
    def backend(self) -> str:
        return "async"

    def assign(self, tasks: Mapping[int, Task]) -> Failures:
        company = self._company
        company.tasks |= tasks
        self._forget(tasks)
        # A family may have learnt of tasks since: adapters remember those that they sampled.
        known, company.freight = company.freight, company.freight.renewed(self._family)
        family = company.freight.family
        return self._do("assign", tasks, family if family != known.family else b"")

    def start(self, seeds: Mapping[int, int | None]) -> tuple[np.ndarray, Failures]:
        self._forget(seeds)
        failures = self._do("start", seeds)
        rows = np.array(list(seeds))
        observations = self._company.arrays.reached.observations[rows]
        observations[np.isin(rows, list(failures))] = np.nan
        self._company.log.begin(seeds, observations)
        self._forget(failures)
        return observations, failures

    def advance(self, rows: np.ndarray, actions: np.ndarray) -> tuple[Outcome, Failures]:
        failures = self._step(actions, rows)
        outcome = self._company.arrays.outcome(rows)
        if failures:
            outcome.break_down(np.isin(rows, list(failures)))
        self._company.log.add(rows, actions, outcome)
        return outcome, failures

    def close(self) -> None:
        self._finalizer()

    def _launch(self) -> None:
        try:
            for crew in self._crews:
                crew.launch()
            for crew in self._crews:
                crew.greet()
            for crew in self._crews:
                crew.listen()
        except (WorkerLostError, WorkerStartError, OSError) as error:
            raise FamilyError(
                f"{self._family.name} cannot be loaded in other processes ({error}); "
                'step it in this one with backend="sync"'
            ) from error

    def _step(self, actions: np.ndarray, rows: np.ndarray) -> Failures:
        arrays = self._company.arrays
        arrays.actions[rows] = actions
        arrays.stepping[:] = False
        arrays.stepping[rows] = True
        busy = []
        for crew in self._crews:
            share = crew.rows.start + np.flatnonzero(
                arrays.stepping[crew.rows.start : crew.rows.stop]
            )
            if len(share):
                crew.step(share.tolist())
                busy.append(crew)
        return self._hear(busy)

    def _do(self, command: str, job: Mapping[int, Any], family: bytes = b"") -> Failures:
        """Have the workers do a command for these rows, all at the same time: what broke."""
        busy = []
        for crew in self._crews:
            share = {row: job[row] for row in crew.rows if row in job}
            if share:
                crew.tell(command, share, family)
                busy.append(crew)
        return self._hear(busy)

    def _hear(self, busy: Sequence[Crew]) -> Failures:
        failures: Failures = {}
        for crew in busy:
            failures |= crew.hear()
        return failures

    def _forget(self, rows: Iterable[int]) -> None:
        for row in rows:
            self._company.log.end(row)


def spread(n_rows: int, envs_per_task: int, processes: int) -> list[range]:
    """Neighbouring rows for each of at most `processes` workers.

    No worker has more rows than an even split would give the fullest; as far as that allows,
    the environments of a task are in one.
    """
    n_workers = min(processes, n_rows)
    most = -(-n_rows // n_workers)
    shares, first = [], 0
    while first < n_rows:
        left = n_workers - len(shares) - 1
        end = min(first + most, n_rows)
        border = end // envs_per_task * envs_per_task
        if border > first and n_rows - border <= left * most:
            end = border
        shares.append(range(first, end))
        first = end
    return shares


def _dismiss(crews: Sequence[Crew], arrays: SharedArrays, owner: int) -> None:
    """End all workers. A process that was forked off the one that started them leaves them be."""
    if os.getpid() != owner:
        return
    workers = [crew.process for crew in crews if crew.process is not None]
    for worker in workers:
        worker.leave()
    deadline = time.monotonic() + CLOSING_S
    for worker in workers:
        worker.end(deadline)
    arrays.close()
