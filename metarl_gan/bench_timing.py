"""Timing alternatives against each other, in turns, so that a busy machine slows all alike."""

import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from metarl_gan.report_files import installed_versions

CPU_INFO = Path("/proc/cpuinfo")
MIN_ROUNDS = 5
LEAST_SECONDS, MOST_CALLS = 0.05, 20
"""A round calls what takes less than so long so often, one call after the other and after one that
is not timed, and takes their mean: otherwise short ones would be timed with the caches and the
free memory that another alternative has left."""


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """One way to get `transitions` transitions, which calling `work` does once."""

    name: str
    transitions: int
    work: Callable[[], object]
    torch_threads: int = 1
    flops: float = 0.0
    """Floating-point operations of a call, if these are counted: a product counts two per term."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Minimum, median and maximum over rounds."""

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray) -> "Spread":
        """The spread of at least one value."""
        return cls(
            min=float(np.min(values)), median=float(np.median(values)), max=float(np.max(values))
        )


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of a call of one alternative in each round: by the clock, and of all its threads."""

    name: str
    transitions: int
    torch_threads: int
    wall_seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    flops: float = 0.0

    @property
    def wall_microseconds(self) -> Spread:
        """Microseconds by the clock per transition."""
        return Spread.of(np.array(self.wall_seconds) * 1e6 / self.transitions)

    @property
    def cpu_microseconds(self) -> Spread:
        """Microseconds of processor time per transition."""
        return Spread.of(np.array(self.cpu_seconds) * 1e6 / self.transitions)

    @property
    def per_second(self) -> float:
        """Transitions per second by the clock, in the median round."""
        return 1e6 / self.wall_microseconds.median

    @property
    def gflops(self) -> Spread:
        """Billions of floating-point operations per second by the clock."""
        return Spread.of(self.flops * 1e-9 / np.array(self.wall_seconds))

    def as_json(self) -> dict[str, object]:
        """Plain data: what was measured, every round of it, and its summary."""
        return {
            **vars(self),
            "transitions_per_second": self.per_second,
            "gflops": vars(self.gflops),
            "wall_microseconds_per_transition": vars(self.wall_microseconds),
            "cpu_microseconds_per_transition": vars(self.cpu_microseconds),
        }


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times as long one alternative takes per transition as another.

    Each round gives one ratio, of two measurements that were made within moments.
    """

    name: str
    of: str
    to: str
    wall: Spread
    cpu: Spread

    @classmethod
    def between(cls, name: str, of: Timing, to: Timing) -> "Ratio":
        """The ratio of the times per transition of `of` and `to`, round by round."""
        scale = to.transitions / of.transitions
        wall = np.array(of.wall_seconds) / np.array(to.wall_seconds)
        cpu = np.array(of.cpu_seconds) / np.array(to.cpu_seconds)
        return cls(
            name=name,
            of=of.name,
            to=to.name,
            wall=Spread.of(wall * scale),
            cpu=Spread.of(cpu * scale),
        )

    def as_json(self) -> dict[str, object]:
        """Plain data."""
        return {**vars(self), "wall": vars(self.wall), "cpu": vars(self.cpu)}


def time_in_turns(
    alternatives: Sequence[Alternative], *, seconds: float, min_rounds: int | None = None
) -> list[Timing]:
    """Time all alternatives once per round, for `seconds` or `min_rounds` rounds, the longer.

    A round goes through them in their order, and one round is done beforehand to warm up.
    torch's number of threads is set for each, and put back. What takes little time is called
    several times in each round (`LEAST_SECONDS`).
    """
    threads = torch.get_num_threads()
    wall: list[list[float]] = [[] for _ in alternatives]
    cpu: list[list[float]] = [[] for _ in alternatives]
    try:
        calls = [_calls(_timed(alternative, 1)[0]) for alternative in alternatives]
        end = time.perf_counter() + seconds
        while len(wall[0]) < (min_rounds or MIN_ROUNDS) or time.perf_counter() < end:
            for place, alternative in enumerate(alternatives):
                wall_seconds, cpu_seconds = _timed(alternative, calls[place])
                wall[place].append(wall_seconds)
                cpu[place].append(cpu_seconds)
    finally:
        torch.set_num_threads(threads)
    return [
        Timing(
            name=alternative.name,
            transitions=alternative.transitions,
            torch_threads=alternative.torch_threads,
            wall_seconds=tuple(wall[place]),
            cpu_seconds=tuple(cpu[place]),
            flops=alternative.flops,
        )
        for place, alternative in enumerate(alternatives)
    ]


def _calls(seconds: float) -> int:
    """Calls in a round of what takes so long."""
    return min(MOST_CALLS, max(1, math.ceil(LEAST_SECONDS / max(seconds, 1e-9))))


def _timed(alternative: Alternative, calls: int) -> tuple[float, float]:
    torch.set_num_threads(alternative.torch_threads)
    if calls > 1:
        alternative.work()
    wall, cpu = time.perf_counter(), _processor_seconds()
    for _ in range(calls):
        alternative.work()
    return (time.perf_counter() - wall) / calls, (_processor_seconds() - cpu) / calls


def _processor_seconds() -> float:
    """Processor time of this process and, on Linux, of those that it started and still run."""
    total = time.process_time()
    for listed in Path("/proc/self/task").glob("*/children"):
        total += sum(map(_seconds_of_process, listed.read_text().split()))
    return total


def _seconds_of_process(pid: str) -> float:
    try:
        # After the name, which is in brackets and may hold spaces: fields 14 and 15.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0  # it ended meanwhile
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine() -> dict[str, object]:
    """What the figures were measured on: processor, how busy it was, versions."""
    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "load_average": list(os.getloadavg()),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
        "versions": installed_versions(),
    }


def _processor() -> str:
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
