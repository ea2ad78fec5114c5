"""One worker process, as its parent sees it: started, told, listened to, ended."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.stepping.freight import Freight
from metarl_gan.envs.stepping.rows import Failures
from metarl_gan.envs.stepping.shared_arrays import Note, SharedArrays
from metarl_gan.envs.stepping.wire import Wire
from metarl_gan.envs.stepping.worker import STACK_SIGNAL, Job, WorkerSetup

START_LIMIT_S = 300.0
"""Seconds in which a worker has to begin, or to begin what it was told."""

PATIENCE = 10.0
"""An environment may take so many times longer than a step to be made, reset or closed."""

_LAST_WORDS_S = 1.0
"""Seconds in which a worker that hangs writes its stack, or one that hung up ends."""

_LOOK_EVERY_S = 1.0
_SURE_AFTER_S = 0.01
_MOST_OF_A_STACK = 20_000
_OURS = "metarl_gan/envs/stepping/worker.py"

_LOST_SHOWS_LATER = contextlib.suppress(ConnectionError)
"""What cannot be sent to a worker that has died: `listen` says how it died."""

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ),
    "1",
)
"""Each worker has a processor to itself: threads of theirs would only be in each other's way."""

# The parent's `__main__` is never imported again: what a family needs of it travels with it.
_BEGIN = """
import sys
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
sys.path[:], sys.argv[:] = connection.recv()
from metarl_gan.envs.stepping.worker import serve
serve(connection)
"""


class WorkerStartError(FamilyError):
    """A worker process cannot be started, or cannot load the family."""


class WorkerLostError(RuntimeError):
    """A worker died or hung.

    Attributes:
        note: What it was doing.
        cause: In one line.
        details: Its Python stack, if it could write it.
    """

    def __init__(self, note: Note, cause: str, details: str) -> None:
        super().__init__(cause)
        self.note, self.cause, self.details = note, cause, details


class WorkerProcess:
    """A worker that has been launched; `greet` before anything else.

    Args:
        arrays: What it shares with its parent.
        number: Which of the workers it is.
        rows: Those of the vector environment that are its.
        step_timeout_s: Longest time that an environment may take for a step.
    """

    def __init__(
        self, arrays: SharedArrays, number: int, rows: range, step_timeout_s: float
    ) -> None:
        self._arrays, self._number, self._rows = arrays, number, rows
        self._step_timeout_s = step_timeout_s
        self._stacks = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
        ours, theirs = multiprocessing.Pipe()
        self._wire = Wire(ours)
        self._jobs, self._sent_at = 0, time.monotonic()
        arrays.write_note(number)
        inherited = (theirs.fileno(), arrays.file, self._stacks.fileno())
        with theirs, _signals_held_back():
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _BEGIN, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=inherited,
                env={"PYTHONHASHSEED": "0", **os.environ, **ONE_THREAD},
            )
        with _LOST_SHOWS_LATER:
            ours.send((sys.path, sys.argv))

    def greet(self, freight: Freight) -> None:
        """Wait until it is there, and hand over what it needs; `listen` tells when it is ready."""
        self.listen()
        setup = WorkerSetup(
            number=self._number,
            rows=self._rows,
            layout=self._arrays.layout,
            memory=self._arrays.file,
            stacks=self._stacks.fileno(),
        )
        self._jobs += 1
        self._sent_at = time.monotonic()
        connection = self._wire.connection
        with _LOST_SHOWS_LATER:
            connection.send(setup)
            connection.send(len(freight.specs))
            for packed in (*freight.specs, freight.family):
                connection.send_bytes(packed)

    def tell(self, command: str, rows: Mapping[int, Any], family: bytes = b"") -> None:
        """Send a job, and the pickled family if it has changed; `listen` has to follow."""
        self._send(Job(command=command, rows=rows, family_follows=bool(family)))
        if family:
            with _LOST_SHOWS_LATER:
                self._wire.connection.send_bytes(family)

    def step(self) -> None:
        """Have the rows of `SharedArrays.stepping` stepped; `listen` has to follow."""
        self._send(None)

    def listen(self) -> Failures:
        """Wait for the answer to what was sent last: what broke.

        Raises:
            WorkerLostError: It died, or an environment took too long; the process is ended.
            WorkerStartError: It cannot do its work; the message says why.
        """
        while True:
            self._wait()
            try:
                number, answer = self._wire.receive()
            except (EOFError, ConnectionError):
                raise self._died() from None
            if isinstance(answer, str):
                self.end()
                raise WorkerStartError(answer)
            # Whoever was interrupted while listening (Ctrl-C) has left an answer behind.
            if number == self._jobs:
                return answer or {}

    def leave(self) -> None:
        """Tell it to close its environments and end."""
        self._wire.connection.close()

    def end(self, deadline: float = 0.0) -> None:
        """Wait until `deadline` (of `time.monotonic`) for it to end, then kill it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))
        self._process.kill()
        self._process.wait()
        self._wire.connection.close()
        self._stacks.close()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _send(self, job: Job | None) -> None:
        self._jobs += 1
        self._sent_at = time.monotonic()
        with _LOST_SHOWS_LATER:
            self._wire.send(self._jobs, job)

    def _wait(self) -> None:
        """Until there is something to read, or it has died."""
        look_every_s = min(self._step_timeout_s, _LOOK_EVERY_S)
        while not self._wire.wait(min(self._time_left(), look_every_s)):
            # What it started may hold its end of the connection open.
            if self._process.poll() is not None and not self._wire.wait(0.0):
                raise self._died()
            # A note may have been half written the first time it was read.
            late = self._time_left() <= 0 and not self._wire.wait(_SURE_AFTER_S)
            if late and self._time_left() <= 0:
                raise self._hung()

    def _limit_of(self, note: Note) -> float:
        if note.row < 0:
            return START_LIMIT_S
        return self._step_timeout_s * (1.0 if note.operation == "step" else PATIENCE)

    def _time_left(self) -> float:
        note = self._arrays.note(self._number)
        elapsed = time.monotonic() - max(note.since, self._sent_at)
        return max(0.0, self._limit_of(note) - elapsed)

    def _died(self) -> WorkerLostError:
        try:
            code = self._process.wait(_LAST_WORDS_S)
        except subprocess.TimeoutExpired:
            return self._lost("its worker process hung up")
        if code >= 0:
            return self._lost(f"its worker process ended with exit code {code}")
        name = signal.Signals(-code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return self._lost(f"its worker process was killed by {name}{hint}")

    def _hung(self) -> WorkerLostError:
        limit = self._limit_of(self._arrays.note(self._number))
        if STACK_SIGNAL is not None:
            self._process.send_signal(STACK_SIGNAL)
            end = time.monotonic() + _LAST_WORDS_S
            while not self._stack() and time.monotonic() < end:
                time.sleep(_SURE_AFTER_S)
        return self._lost(f"no answer within {limit:g} s; its worker process was killed")

    def _lost(self, cause: str) -> WorkerLostError:
        note, details = self._arrays.note(self._number), self._stack()
        self.end()
        return WorkerLostError(note, cause, details)

    def _stack(self) -> str:
        """What it wrote of its Python stack, down to where our own part of it begins."""
        written = os.pread(self._stacks.fileno(), _MOST_OF_A_STACK, 0).decode(errors="replace")
        kept = []
        for line in written.splitlines():
            if _OURS in line or line.startswith("Extension modules:"):
                break
            kept.append(line)
        return "\n".join(kept).strip()


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """A process started in here has them blocked, until it has said what it does with them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
