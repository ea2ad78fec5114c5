"""What the processes of one vector environment pass through memory that they share."""

import math
import mmap
import os
import struct
import tempfile
import time
from dataclasses import dataclass
from typing import Self

import numpy as np

from metarl_gan.envs.action_format import ActionFormat
from metarl_gan.envs.stepping.rows import Outcome

OPERATIONS = ("", "make", "retask", "reset", "step", "close")
"""What a worker may be doing with an environment; nothing, first."""

_ALIGNMENT = 64
_NOTE = struct.Struct("3d")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Sizes of the shared arrays.

    Attributes:
        n_rows: Environments of the vector environment.
        observation_shape: Of one observation.
        action_shape: Of one action.
        action_type: Of an action's numbers, as numpy writes it: "<f4".
        n_workers: Processes that leave notes.
    """

    n_rows: int
    observation_shape: tuple[int, ...]
    action_shape: tuple[int, ...]
    action_type: str
    n_workers: int

    @classmethod
    def of(cls, n_rows: int, n_workers: int, observations: tuple, actions: ActionFormat) -> Self:
        """The layout for observations of a shape and actions of a format."""
        return cls(
            n_rows=n_rows,
            observation_shape=observations,
            action_shape=actions.shape,
            action_type=actions.dtype.str,
            n_workers=n_workers,
        )


@dataclass(frozen=True, kw_only=True)
class Note:
    """What a worker said last: which row it is in (-1: none), doing what, since when.

    `since` is in seconds of `time.monotonic`, which is the machine's and not the process's.
    """

    row: int
    operation: str
    since: float


class SharedArrays:
    """Actions, outcomes and the workers' notes in one piece of shared memory.

    The memory is a file without a name, which processes inherit: nothing is left of it when the
    last of them has gone, however it went.

    Args:
        layout: Sizes.
        file: The file's descriptor; `create` makes one.

    Attributes:
        stepping: Bool `[rows]`, which are to be stepped.
        actions: What with, `[rows, …]`.
        reached: Where their last step, or reset, has led.
    """

    def __init__(self, layout: Layout, file: int) -> None:
        self.layout, self.file = layout, file
        n = layout.n_rows
        parts = {
            "notes": ((layout.n_workers * _NOTE.size,), "u1"),
            "stepping": ((n,), "?"),
            "actions": ((n, *layout.action_shape), layout.action_type),
            "observations": ((n, *layout.observation_shape), "<f4"),
            "rewards": ((n,), "<f4"),
            "terminated": ((n,), "?"),
            "truncated": ((n,), "?"),
            "success": ((n,), "i1"),
        }
        sizes = [
            math.prod(shape) * np.dtype(kind).itemsize // _ALIGNMENT * _ALIGNMENT + _ALIGNMENT
            for shape, kind in parts.values()
        ]
        if os.fstat(file).st_size < sum(sizes):
            os.truncate(file, sum(sizes))
        memory = mmap.mmap(file, sum(sizes))
        arrays, offset = {}, 0
        for (name, (shape, kind)), size in zip(parts.items(), sizes, strict=True):
            arrays[name] = np.ndarray(shape, kind, memory, offset)
            offset += size
        self.stepping, self.actions = arrays["stepping"], arrays["actions"]
        self._notes = memoryview(arrays["notes"])
        self.reached = Outcome(
            observations=arrays["observations"],
            rewards=arrays["rewards"],
            terminated=arrays["terminated"],
            truncated=arrays["truncated"],
            success=arrays["success"],
        )

    @classmethod
    def create(cls, layout: Layout) -> Self:
        """New arrays of zeros."""
        if hasattr(os, "memfd_create"):  # on Linux
            return cls(layout, os.memfd_create("metarl-gan"))
        with tempfile.TemporaryFile() as file:
            return cls(layout, os.dup(file.fileno()))

    def outcome(self, rows: np.ndarray) -> Outcome:
        """A copy of the rows' outcomes."""
        shared = self.reached
        return Outcome(
            observations=shared.observations[rows],
            rewards=shared.rewards[rows],
            terminated=shared.terminated[rows],
            truncated=shared.truncated[rows],
            success=shared.success[rows],
        )

    def write_note(self, worker: int, row: int = -1, operation: str = "") -> None:
        """Say that a worker begins an operation with a row, or has ended it."""
        place, code = worker * _NOTE.size, OPERATIONS.index(operation)
        _NOTE.pack_into(self._notes, place, row, code, time.monotonic())

    def note(self, worker: int) -> Note:
        """What a worker has said last."""
        row, code, since = _NOTE.unpack_from(self._notes, worker * _NOTE.size)
        return Note(row=int(row), operation=OPERATIONS[int(code)], since=since)

    def close(self) -> None:
        """Close the file; the arrays stay until nobody holds them."""
        os.close(self.file)
