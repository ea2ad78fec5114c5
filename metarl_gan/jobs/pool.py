"""Jobs as processes of their own, some at a time, each with a log; Ctrl-C ends all of them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from metarl_gan.graceful_stop import GracefulStop

POLL_SECONDS = 0.1
WATCH_SECONDS = 0.5
PATIENCE_SECONDS = 120.0
"""For how long processes may go on after they were asked to end; a second Ctrl-C ends it."""
TAIL_LINES = 12
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
NOTICE = "ending the running jobs, with checkpoints; once more ends them at once"

Process = subprocess.Popen[bytes]


@dataclass(frozen=True, kw_only=True)
class Work:
    """`python -m module argument`: its name for people, and the file that takes what it says."""

    name: str
    module: str
    argument: str
    log: Path
    threads: int = 1


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Work that failed: its exit code (negative for a signal) and the end of its log."""

    work: Work
    code: int
    tail: str


def run_all(
    work: Sequence[Work], n_processes: int, say: Callable[[str], None]
) -> tuple[Failure, ...]:
    """Do all the work, at most `n_processes` at a time.

    What fails does not keep the others from going on.

    Raises:
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once every process has ended.
    """
    waiting, running, failures = deque(work), dict[str, tuple[Work, Process, float]](), []
    # The handler only notes a signal: between a process and its entry there is no interruption.
    with GracefulStop(NOTICE) as stop:
        try:
            while (waiting or running) and stop.requested is None:
                while waiting and len(running) < n_processes:
                    item = waiting.popleft()
                    say(f"start  {item.name}   (log {item.log})")
                    running[item.name] = (item, _start(item), time.monotonic())
                time.sleep(POLL_SECONDS)
                for item, process, started in list(running.values()):
                    code = process.poll()
                    if code is None:
                        continue
                    del running[item.name]
                    left = f"{len(waiting) + len(running)} left"
                    say(_outcome(item, code, time.monotonic() - started, left))
                    if code:
                        failures.append(Failure(work=item, code=code, tail=log_tail(item.log)))
        finally:
            _end([process for _, process, _ in running.values()])
    if stop.requested is not None:
        raise KeyboardInterrupt(f"stopped by {stop.requested.name}; the same command goes on")
    return tuple(failures)


def log_tail(path: Path) -> str:
    """The last lines of a log."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-TAIL_LINES:])


def end_with_parent() -> None:
    """Let this process end as by SIGTERM once the one that started it is gone.

    That one ends what it started, but not if it is killed or its terminal is closed; what then
    went on unseen would meet whoever starts the same work again.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _outcome(item: Work, code: int, seconds: float, left: str) -> str:
    if not code:
        return f"done   {item.name}   in {seconds:.0f} s, {left}"
    return f"FAILED {item.name}   with exit code {code} after {seconds:.0f} s, {left}"


def _start(item: Work) -> Process:
    item.log.parent.mkdir(parents=True, exist_ok=True)
    # It finds what this process finds, and leaves the other cores alone.
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    threads = dict.fromkeys(THREAD_VARIABLES, str(item.threads))
    with item.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", item.module, item.argument],
            env={**os.environ, **threads, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for this process, which passes it on.
            start_new_session=True,
        )


def _end(processes: Sequence[Process]) -> None:
    """Ask processes to end, and make those end that do not in time."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        for process in processes:
            process.wait(max(0.0, deadline - time.monotonic()))
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
