"""How the actions of a space lie in arrays, and what an environment takes of them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.supported_spaces import action_problem


class ActionFormat(ABC):
    """One action of a space as a row of an array.

    Attributes:
        shape: Of one row.
        dtype: Of its numbers.
        blank: A row that stands where nothing was done.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    blank: np.ndarray

    @abstractmethod
    def clip(self, rows: np.ndarray) -> np.ndarray:
        """Rows `[..., *shape]` with what is continuous clipped to the space, as `dtype`.

        Raises `ValueError` where what is discrete is not in the space.
        """

    @abstractmethod
    def pack(self, actions: Any) -> np.ndarray:  # noqa: ANN401 - whatever the space contains
        """The row of what the space contains; rows of a batch of it, or of a list; rows as is."""

    @abstractmethod
    def unpack(self, row: np.ndarray) -> Any:  # noqa: ANN401 - whatever the space contains
        """What the space contains, from a clipped row."""

    @abstractmethod
    def unpack_all(self, rows: np.ndarray) -> Any:  # noqa: ANN401 - an array or a list
        """As `unpack`, for each of the clipped rows `[n, *shape]`: to be indexed by row."""


@final
class PlainActions(ActionFormat):
    """Arrays of numbers are rows as they are: `Box`, and what is not supported."""

    def __init__(self, space: gymnasium.Space) -> None:
        if space.shape is None:
            raise FamilyError(action_problem(space))
        self.shape, self.dtype = space.shape, np.dtype(space.dtype)
        self.blank = np.zeros(self.shape, self.dtype)
        self._box = space if isinstance(space, spaces.Box) else None

    def clip(self, rows: np.ndarray) -> np.ndarray:
        if self._box is None:
            return rows
        return np.clip(rows, self._box.low, self._box.high).astype(self.dtype, copy=False)

    def pack(self, actions: Any) -> np.ndarray:  # noqa: ANN401
        return np.asarray(actions)

    def unpack(self, row: np.ndarray) -> np.ndarray:
        return row

    def unpack_all(self, rows: np.ndarray) -> np.ndarray:
        return rows


@final
class DiscreteActions(ActionFormat):
    """Whole numbers without an axis: `Discrete`."""

    def __init__(self, space: spaces.Discrete) -> None:
        self.shape, self.dtype = (), np.dtype(space.dtype)
        self.blank = np.array(space.start, self.dtype)
        self._space = space

    def clip(self, rows: np.ndarray) -> np.ndarray:
        space = self._space
        indices = rows - space.start
        if (
            not np.issubdtype(rows.dtype, np.integer)
            or not ((indices >= 0) & (indices < space.n)).all()
        ):
            raise ValueError(f"actions are not all in {space}: {rows[:8]} …")
        return rows

    def pack(self, actions: Any) -> np.ndarray:  # noqa: ANN401
        return np.asarray(actions)

    def unpack(self, row: np.ndarray) -> np.ndarray:
        return row

    def unpack_all(self, rows: np.ndarray) -> np.ndarray:
        return rows


@dataclass(frozen=True, kw_only=True)
class DiscreteColumn:
    """A column that holds one of the whole numbers from `start` to `start + n - 1`."""

    column: int
    start: int
    n: int


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A part of an action: columns of the row, one after the other."""

    space: gymnasium.Space
    columns: slice

    @property
    def width(self) -> int:
        return self.columns.stop - self.columns.start

    @property
    def is_box(self) -> bool:
        return isinstance(self.space, spaces.Box)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest value of each column."""
        space = self.space
        if isinstance(space, spaces.Box):
            return space.low.ravel(), space.high.ravel()
        if isinstance(space, spaces.MultiDiscrete):
            return space.start, space.start + space.nvec - 1
        assert isinstance(space, spaces.Discrete)
        return np.array([space.start]), np.array([space.start + space.n - 1])

    def unpack(self, row: np.ndarray) -> np.generic | np.ndarray:
        """The part's own action, from columns that hold it exactly."""
        if isinstance(self.space, spaces.Discrete):
            return self.space.dtype.type(row[self.columns.start])
        return row[self.columns].astype(self.space.dtype).reshape(self.space.shape)


@final
class HybridActions(ActionFormat):
    """`Tuple` or `Dict` of `Box`, `Discrete` and `MultiDiscrete`, or a `MultiDiscrete` alone.

    A row holds the parts side by side, a dictionary's in the order of its names: continuous ones
    as they are, each choice as its number, in one column. That is the size of the decision, not
    of the networks' view of it, so that replay, logs and memory shared with workers stay small
    and nothing has to be rounded to get the environment's action back; networks that need
    choices apart encode them where they read them.

    Attributes:
        space: What the environment takes.
        low: Least value of each column, `[act]`.
        high: Greatest value of each column, `[act]`.
        continuous: Indices of the continuous columns.
        discrete: The other columns.
    """

    def __init__(self, space: spaces.Tuple | spaces.Dict | spaces.MultiDiscrete) -> None:
        if problem := action_problem(space):
            raise FamilyError(problem)
        self.space = space
        self._parts = _laid_out(space)
        parts = self._parts.values()
        low, high = (np.concatenate(b) for b in zip(*(p.bounds() for p in parts), strict=True))
        boxed = np.concatenate([np.full(part.width, part.is_box) for part in parts])
        self._chosen = np.flatnonzero(~boxed)
        self.continuous = tuple(np.flatnonzero(boxed).tolist())
        self.discrete = tuple(
            DiscreteColumn(
                column=column, start=int(low[column]), n=int(high[column] - low[column]) + 1
            )
            for column in self._chosen.tolist()
        )
        self.shape = low.shape
        # Float32 holds the numbers of choices exactly; a box of finer numbers has a say.
        finer = [part.space.dtype for part in parts if part.is_box]
        self.dtype = np.result_type(np.float32, *finer)
        self.low, self.high = low.astype(self.dtype), high.astype(self.dtype)
        self.blank = np.where(boxed, 0, self.low).astype(self.dtype)

    def clip(self, rows: np.ndarray) -> np.ndarray:
        clipped = np.clip(rows, self.low, self.high).astype(self.dtype, copy=False)
        chosen = rows[..., self._chosen]
        fits = (chosen == clipped[..., self._chosen]) & (chosen == np.rint(chosen))
        if not fits.all():
            bad = rows[~fits.all(-1)][:8].tolist() if rows.ndim > 1 else rows.tolist()
            raise ValueError(
                f"actions are not all in {self.space}: {bad} …; columns {self._chosen.tolist()} "
                f"are whole numbers from {self.low[self._chosen].tolist()} to "
                f"{self.high[self._chosen].tolist()}"
            )
        return clipped

    def pack(self, actions: Any) -> np.ndarray:  # noqa: ANN401
        if isinstance(actions, np.ndarray) or isinstance(self.space, spaces.MultiDiscrete):
            return np.asarray(actions, self.dtype)
        if isinstance(actions, list):
            return np.stack([self.pack(action) for action in actions])
        columns = []
        for part, value in zip(self._parts.values(), self._values(actions), strict=True):
            n_leading = np.ndim(value) - len(part.space.shape or ())
            array = np.asarray(value, self.dtype)
            columns.append(array.reshape(*array.shape[:n_leading], -1))
        return np.concatenate(columns, axis=-1)

    def unpack(self, row: np.ndarray) -> Any:  # noqa: ANN401
        values = {key: part.unpack(row) for key, part in self._parts.items()}
        if isinstance(self.space, spaces.Dict):
            return values
        parts = tuple(values.values())
        return parts if isinstance(self.space, spaces.Tuple) else parts[0]

    def unpack_all(self, rows: np.ndarray) -> Any:  # noqa: ANN401
        if isinstance(self.space, spaces.MultiDiscrete):
            return rows.astype(self.space.dtype)
        return [self.unpack(row) for row in rows]

    def _values(self, action: Any) -> Iterable[Any]:  # noqa: ANN401
        """The parts' own actions, in the order of columns."""
        space = self.space
        if isinstance(space, spaces.Tuple) and isinstance(action, tuple):
            if len(action) == len(self._parts):
                return action
        elif isinstance(action, dict) and action.keys() == self._parts.keys():
            return [action[key] for key in self._parts]
        raise ValueError(f"action {action!r} is not of {space}")


def action_format(space: gymnasium.Space) -> ActionFormat:
    """How actions of `space` lie in arrays.

    Raises `FamilyError` for a `Tuple` or `Dict` of other parts, and other spaces without a shape.
    """
    if isinstance(space, spaces.Discrete):
        return DiscreteActions(space)
    if isinstance(space, spaces.Tuple | spaces.Dict):
        return HybridActions(space)
    if isinstance(space, spaces.MultiDiscrete) and len(space.shape) == 1:
        return HybridActions(space)
    return PlainActions(space)


def _laid_out(space: gymnasium.Space) -> dict[Any, _Part]:
    """The parts of a space by name or number, side by side."""
    if isinstance(space, spaces.Dict):
        # Sorted: spaces that differ in the order of their names are equal.
        named: list[tuple[Any, gymnasium.Space]] = sorted(space.spaces.items())
    else:
        named = list(enumerate(space.spaces if isinstance(space, spaces.Tuple) else [space]))
    parts, first = {}, 0
    for name, part in named:
        last = first + math.prod(part.shape or ())
        parts[name] = _Part(space=part, columns=slice(first, last))
        first = last
    return parts
