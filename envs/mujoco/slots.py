"""MuJoCo's own step on many states at once."""

import ctypes
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import numpy as np

from metarl_gan.envs.mujoco.api import MjData, MjModel, mj_forward, mj_rnePostConstraint, mj_step
from metarl_gan.envs.stepping.processors import available_processors

STATE = ("qpos", "qvel", "act", "qacc_warmstart")
"""What MuJoCo steps from. The solver starts from the last acceleration: without the very same
bits, contacts amplify the difference until the trajectories have nothing in common."""

MAX_SLOTS = 64
_MAX_THREADS = 16
_DOUBLE = 8


class MujocoStepper:
    """Steps arrays of states through `mj_step`, exactly as Gymnasium does with one.

    States live in numpy arrays. A step writes up to `MAX_SLOTS` of them into as many `MjData`,
    lets threads step those, reads the result, and goes on with the next ones. That caps memory
    (an `MjData` takes half a megabyte), and leaves every environment free to have its own model.
    `mujoco.rollout` would do as much in one call, but returns neither the solver's warm start nor
    derived quantities such as contact forces.

    Args:
        model: Any task's model.
        n_rows: How many states will be stepped at most.
        fields: Derived arrays of `MjData` to return beside the state.
        frame_skip: Physics steps per control step.
        threads: How many threads step; `None` takes one per processor.
    """

    def __init__(
        self,
        model: MjModel,
        *,
        n_rows: int,
        fields: Sequence[str],
        frame_skip: int,
        threads: int | None,
    ) -> None:
        n_slots = min(n_rows, MAX_SLOTS)
        n_threads = min(threads or min(available_processors(), _MAX_THREADS), n_slots)
        self._slots = [MjData(model) for _ in range(n_slots)]
        self._memory = SlotMemory(self._slots, {*STATE, "ctrl", *fields})
        self._fields = (*STATE, *fields)
        self._frame_skip = frame_skip
        self._needs_forces = "cfrc_ext" in fields
        self._shares = [slice(first, None, n_threads) for first in range(n_threads)]
        # The calling thread takes a share itself.
        self._pool = ThreadPoolExecutor(n_threads - 1) if n_threads > 1 else None
        self._closed = False

    def forward(
        self, models: Sequence[MjModel], states: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """What follows from the states `[n, ...]` of a reset, without a step: all fields."""
        idle = np.zeros((len(models), models[0].nu))
        return self._run(_forward, models, {**states, "ctrl": idle})

    def step(
        self, models: Sequence[MjModel], states: Mapping[str, np.ndarray], controls: np.ndarray
    ) -> dict[str, np.ndarray]:
        """One control step of `n` states under `controls` `[n, nu]`: all fields after it."""
        return self._run(self._step, models, {**states, "ctrl": controls})

    def close(self) -> None:
        """Stop the threads; nothing can be stepped any more."""
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown()

    def _step(self, models: Sequence[MjModel], slots: Sequence[MjData]) -> None:
        # map and deque keep the loop in C: between two steps, a thread holds the interpreter's
        # lock for about a microsecond.
        deque(map(mj_step, models, slots, repeat(self._frame_skip)), maxlen=0)
        if self._needs_forces:
            deque(map(mj_rnePostConstraint, models, slots), maxlen=0)

    def _run(
        self,
        work: Callable[[Sequence[MjModel], Sequence[MjData]], None],
        models: Sequence[MjModel],
        given: Mapping[str, np.ndarray],
    ) -> dict[str, np.ndarray]:
        if self._closed:
            raise RuntimeError("this vector environment is closed; make another")
        found: dict[str, list[np.ndarray]] = {name: [] for name in self._fields}
        for first in range(0, len(models), len(self._slots)):
            rows = slice(first, first + len(self._slots))
            self._memory.write({name: values[rows] for name, values in given.items()})
            self._share_out(work, models[rows])
            for name in self._fields:
                found[name].append(self._memory.read(name, len(models[rows])))
        return {
            name: parts[0] if len(parts) == 1 else np.concatenate(parts)
            for name, parts in found.items()
        }

    def _share_out(
        self,
        work: Callable[[Sequence[MjModel], Sequence[MjData]], None],
        models: Sequence[MjModel],
    ) -> None:
        slots = self._slots[: len(models)]
        others = [] if self._pool is None else self._shares[1:]
        waiting = [
            self._pool.submit(work, models[share], slots[share])
            for share in others
            if self._pool is not None
        ]
        work(models[self._shares[0]], slots[self._shares[0]])
        for done in waiting:
            done.result()


class SlotMemory:
    """Reads and writes one field of many `MjData` in a single numpy operation.

    Each `MjData` keeps a field at an address of its own. One flat array that spans all of them,
    indexed at those addresses, is the field of all at once; nothing in between is touched.
    """

    def __init__(self, slots: Sequence[MjData], names: set[str]) -> None:
        self._slots = slots  # keeps the memory alive
        arrays = {name: [getattr(slot, name) for slot in slots] for name in names}
        self._shapes = {name: fields[0].shape for name, fields in arrays.items()}
        addresses = {
            name: np.array([field.__array_interface__["data"][0] for field in fields], np.int64)
            for name, fields in arrays.items()
            if fields[0].size
        }
        low = min(int(at.min()) for at in addresses.values())
        high = max(int(at.max()) + arrays[name][0].nbytes for name, at in addresses.items())
        span = (ctypes.c_double * ((high - low) // _DOUBLE)).from_address(low)
        self._flat = np.ctypeslib.as_array(span)
        self._places = {
            name: (at[:, None] - low) // _DOUBLE + np.arange(arrays[name][0].size)
            for name, at in addresses.items()
        }

    def write(self, values: Mapping[str, np.ndarray]) -> None:
        """Set fields of the first `n` slots to `[n, ...]`."""
        for name, rows in values.items():
            if name in self._places:
                self._flat[self._places[name][: len(rows)]] = rows.reshape(len(rows), -1)

    def read(self, name: str, n: int) -> np.ndarray:
        """A field of the first `n` slots, `[n, ...]`, as a copy."""
        if name not in self._places:
            return np.empty((n, *self._shapes[name]))
        return self._flat[self._places[name][:n]].reshape(n, *self._shapes[name])


def _forward(models: Sequence[MjModel], slots: Sequence[MjData]) -> None:
    deque(map(mj_forward, models, slots), maxlen=0)
