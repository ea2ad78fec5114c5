"""What runs in a worker process: environments, and another process's commands for them."""

import contextlib
import faulthandler
import os
import signal
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import gymnasium
import numpy as np

from metarl_gan.envs.stepping.environment_source import EnvironmentSource
from metarl_gan.envs.stepping.local_rows import LocalRows
from metarl_gan.envs.stepping.rows import Failures, describe_failure
from metarl_gan.envs.stepping.shared_arrays import Layout, SharedArrays
from metarl_gan.envs.stepping.wire import Wire

ORPHAN_GRACE_S = 2.0
"""Seconds that a worker has to close its environments when its parent has vanished."""

STACK_SIGNAL = getattr(signal, "SIGUSR1", None)
"""What makes a worker write where it is, if the platform has it."""


@dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """What a worker is told first.

    Attributes:
        number: Which of the workers it is.
        rows: Those of the vector environment that are its.
        layout: Of the arrays that it shares with the others.
        memory: File descriptor of these arrays.
        stacks: File descriptor that it writes its stack to when it crashes or is asked.
    """

    number: int
    rows: range
    layout: Layout
    memory: int
    stacks: int


@dataclass(frozen=True, kw_only=True)
class Job:
    """A command for rows of a worker. To step those of `SharedArrays.stepping` needs none.

    Attributes:
        command: "know", "assign", "start" or "replay".
        rows: What the command says for each row: its task, its seed, its episode.
        family_follows: Whether another family comes next, in place of the worker's.
    """

    command: str
    rows: Mapping[int, Any]
    family_follows: bool = False


def serve(connection: Connection) -> None:
    """Do the jobs that come in through `connection`, until it is closed.

    They are numbered from 2, and each is answered by its number, with the failures if there are
    any, or with the text of an error after which there can be no further job. The number 0 says
    that the worker is there, 1 that it is ready.
    """
    _leave_signals_to_the_parent()
    _end_with_the_parent()
    wire = Wire(connection)
    wire.send(0)
    setup: WorkerSetup = connection.recv()
    faulthandler.enable(setup.stacks, all_threads=False)
    if STACK_SIGNAL is not None:
        faulthandler.register(STACK_SIGNAL, setup.stacks, all_threads=False)
    number, worker = 1, None
    try:
        _register_environments(connection)
        worker = Worker(setup, connection.recv().fn)
        wire.send(number)
        while True:
            number, job = wire.receive()
            if job is not None and job.family_follows:
                worker.take_family(connection.recv().fn)
            wire.send(number, worker.do(job) or None)
    except (EOFError, ConnectionError):
        pass  # the parent has no more to say
    except Exception as error:  # noqa: BLE001 - what a user's class raises when it is unpickled
        wire.send(number, "".join(traceback.format_exception_only(error)).strip())
    finally:
        if worker is not None:
            worker.close()


class Worker:
    """Environments of some rows of a vector environment, and what can be done with them."""

    def __init__(self, setup: WorkerSetup, family: EnvironmentSource) -> None:
        self._arrays = SharedArrays(setup.layout, setup.memory)
        self._note = partial(self._arrays.write_note, setup.number)
        self._rows = LocalRows(family, self._note)
        self._mine = np.array(setup.rows)
        self._commands = {
            "know": self._know,
            "assign": self._assign,
            "start": self._start,
            "replay": self._replay,
        }

    def do(self, job: Job | None) -> Failures:
        """Do a job, or step; what comes of it is in the shared arrays. Returns what broke."""
        try:
            return self._step() if job is None else self._commands[job.command](job)
        finally:
            self._note()

    def take_family(self, family: EnvironmentSource) -> None:
        """Make environments of this one from now on."""
        self._rows.family = family

    def close(self) -> None:
        """Close every environment."""
        self._rows.close()

    def _know(self, job: Job) -> Failures:
        self._rows.know(job.rows)
        return {}

    def _assign(self, job: Job) -> Failures:
        return self._rows.assign(job.rows)

    def _start(self, job: Job) -> Failures:
        observations, failures = self._rows.start(job.rows)
        self._arrays.reached.observations[list(job.rows)] = observations
        return failures

    def _step(self) -> Failures:
        arrays = self._arrays
        rows = self._mine[arrays.stepping[self._mine]]
        # A copy: what an environment keeps of its action must not change under it.
        return self._rows.advance_into(arrays.reached, rows, rows, arrays.actions[rows])

    def _replay(self, job: Job) -> Failures:
        failures: Failures = {}
        for row, episode in job.rows.items():
            reached, broken = self._rows.replay(row, episode.seed, episode.actions)
            failures |= broken
            if not broken and not np.array_equal(reached, episode.observation, equal_nan=True):
                failures[row] = describe_failure(
                    "replay",
                    self._rows.tasks[row],
                    row,
                    f"its seed {episode.seed} and its {len(episode.actions)} actions lead to "
                    f"another observation than before: {reached}, not {episode.observation}",
                )
        return failures


def _leave_signals_to_the_parent() -> None:
    """Ctrl-C and SIGTERM, which may reach a whole group of processes, are the parent's to act on.

    The parent started this process with both blocked. Handlers that do nothing, unlike SIG_IGN,
    are not handed on to programs that environments start.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})


def _end_with_the_parent() -> None:
    """End this process when standard input closes, whatever an environment is doing then."""
    lifeline = os.dup(0)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - for its descriptor
        os.dup2(nothing.fileno(), 0)

    def watch() -> None:
        # Signals are for the thread that steps.
        signal.pthread_sigmask(signal.SIG_SETMASK, set(signal.Signals))
        os.read(lifeline, 1)
        time.sleep(ORPHAN_GRACE_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _register_environments(connection: Connection) -> None:
    """Take over what the parent has registered with Gymnasium; what cannot be read is left out."""
    for _ in range(connection.recv()):
        with contextlib.suppress(Exception):
            spec = connection.recv().fn
            gymnasium.registry.setdefault(spec.id, spec)
