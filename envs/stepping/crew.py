"""A worker process and its environments, which outlive it where they can."""

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metarl_gan.envs.stepping.episode_log import EpisodeLog
from metarl_gan.envs.stepping.freight import Freight
from metarl_gan.envs.stepping.rows import Failures, describe_failure
from metarl_gan.envs.stepping.shared_arrays import SharedArrays
from metarl_gan.envs.stepping.worker_process import WorkerLostError, WorkerProcess, WorkerStartError
from metarl_gan.envs.task import Task

_STEP = "step"

MAX_RESTARTS = 8
"""How often a worker is started again between two resets before its rows are given up."""


@dataclass(kw_only=True)
class Company:
    """What the crews of a vector environment have in common.

    Attributes:
        arrays: Shared with all workers.
        log: The episodes that rows are in the middle of.
        tasks: By row.
        freight: What a worker is sent first.
        step_timeout_s: Longest time that an environment may take for a step.
    """

    arrays: SharedArrays
    log: EpisodeLog
    tasks: dict[int, Task]
    freight: Freight
    step_timeout_s: float


class Crew:
    """Some rows of a vector environment, and the worker that has their environments.

    A worker that dies or hangs is replaced: the environment that it was busy with is reported,
    the others are made anew and brought back to where they were.
    """

    def __init__(self, company: Company, number: int, rows: range) -> None:
        self.rows = rows
        self._company, self._number = company, number
        self._process: WorkerProcess | None = None
        self._fate = ""
        self._restarts = 0
        self._command, self._job = "", {}
        self._failures: Failures = {}

    @property
    def process(self) -> WorkerProcess | None:
        """The worker; `None` where none could be had."""
        return self._process

    def launch(self) -> None:
        """Start the worker. `greet` and `listen` to it, then it is ready."""
        company = self._company
        self._process = WorkerProcess(
            company.arrays, self._number, self.rows, company.step_timeout_s
        )

    def greet(self) -> None:
        """Hand over the family; raises what `WorkerProcess.listen` raises."""
        with self._unless_lost():
            self._worker().greet(self._company.freight)

    def listen(self) -> Failures:
        """The worker's answer; raises what `WorkerProcess.listen` raises."""
        with self._unless_lost():
            return self._worker().listen()

    def tell(self, command: str, job: Mapping[int, Any], family: bytes = b"") -> None:
        """Begin a command for some of the rows, as `Job` has it; `hear` has to follow."""
        self._command, self._job, self._failures = command, dict(job), {}
        self._restarts = 0
        if self._process is None:
            self._replace()
        if self._process is not None:
            self._process.tell(command, self._job, family)

    def step(self, rows: Iterable[int]) -> None:
        """Begin a step of those rows, which `SharedArrays` has; `hear` has to follow."""
        self._command, self._job, self._failures = _STEP, dict.fromkeys(rows), {}
        if self._process is not None:
            self._process.step()

    def hear(self) -> Failures:
        """Wait until the command is done: which rows broke, whoever was to blame.

        Raises `WorkerStartError` if the worker cannot read what it was told.
        """
        while self._process is not None and self._job:
            try:
                return self._failures | self.listen()
            except WorkerLostError as lost:
                self._blame(lost)
                self._replace()
            for row in self._failures:
                self._job.pop(row, None)
            if self._process is not None and self._job:
                self._begin_again(self._process)
        return self._failures

    def _begin_again(self, process: WorkerProcess) -> None:
        if self._command == _STEP:
            stepping = self._company.arrays.stepping
            stepping[list(self.rows)] = [row in self._job for row in self.rows]
            process.step()
        else:
            process.tell(self._command, self._job)

    @contextlib.contextmanager
    def _unless_lost(self) -> Iterator[None]:
        try:
            yield
        except (WorkerLostError, WorkerStartError):
            self._process = None
            raise

    def _worker(self) -> WorkerProcess:
        if self._process is None:
            raise WorkerStartError("there is no worker process")
        return self._process

    def _blame(self, lost: WorkerLostError) -> None:
        """Report the environment that a lost worker was busy with."""
        row = lost.note.row
        if row < 0:
            self._fate = f"lost with its worker ({lost.cause})"
            warnings.warn(f"between two calls: {lost.cause}", RuntimeWarning, stacklevel=2)
            return
        task = self._company.tasks[row]
        self._fate = f"lost with the worker of task {task.id!r} ({lost.cause})"
        self._fail(row, describe_failure(lost.note.operation, task, row, lost.cause, lost.details))

    def _fail(self, row: int, text: str) -> None:
        self._failures[row] = text
        self._company.log.end(row)

    def _lose(self, row: int, why: str) -> None:
        task = self._company.tasks[row]
        self._fail(row, describe_failure("replay", task, row, f"{self._fate}: {why}"))

    def _replace(self) -> None:
        """Start the worker again and bring its rows back, or give them up."""
        for row in self._unfinished():
            if self._company.log.episode(row).seed is None:
                self._lose(row, "it was reset without a seed, so that it cannot be brought back")
        why = "its worker was lost too often since the last reset"
        while self._restarts < MAX_RESTARTS:
            self._restarts += 1
            try:
                self._start_again()
            except WorkerLostError as lost:
                self._blame(lost)
            except (WorkerStartError, OSError) as error:
                why = f"no other can be started: {error}"
                break
            else:
                return
        for row in {*self._unfinished(), *self._job} - set(self._failures):
            self._lose(row, why)

    def _start_again(self) -> None:
        self.launch()
        self.greet()
        self.listen()
        company, worker = self._company, self._worker()
        worker.tell("know", {row: company.tasks[row] for row in self.rows})
        self.listen()
        unfinished = self._unfinished()
        if unfinished:
            worker.tell("replay", {row: company.log.episode(row) for row in unfinished})
            for row, text in self.listen().items():
                self._lose(row, text)

    def _unfinished(self) -> list[int]:
        """Rows in the middle of an episode."""
        return [row for row in self.rows if self._company.log.goes_on(row)]
