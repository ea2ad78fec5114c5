"""Distributions that a task's parameters are drawn from."""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.task import ParameterValue


@dataclass(frozen=True)
class Distribution(ABC):
    """The range of one task parameter: draws it, and maps it to a descriptor component.

    Attributes:
        low: The smallest value (of choices that are names: the first index).
        high: The largest value (of choices that are names: the last index).
        unit: The physical unit, `""` where there is none.
    """

    low: float
    high: float
    unit: str = ""

    @property
    def text(self) -> str:
        """The range as people read it, e.g. `"8…12 m/s^2"`."""
        return _with_unit(f"{self.low:g}…{self.high:g}", self.unit)

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> ParameterValue:
        """One draw. Continuous draws are rounded to six significant digits, to read well."""

    @abstractmethod
    def contains(self, value: ParameterValue) -> bool:
        """Whether `value` can be drawn."""

    @abstractmethod
    def normalise(self, value: ParameterValue) -> float:
        """Map `low..high` to [-1, 1]; values outside the range fall outside of [-1, 1]."""


@dataclass(frozen=True)
class Range(Distribution, ABC):
    """A continuous range: uniform on `[low, high]` after a change of scale.

    Raises `FamilyError` unless both bounds are finite and `low < high`.
    """

    @abstractmethod
    def scaled(self, value: float) -> float:
        """`value` on the scale on which draws are uniform."""

    @abstractmethod
    def unscaled(self, value: float) -> float:
        """The inverse of `scaled`."""

    @property
    def length(self) -> float:
        """How long the range is on that scale."""
        return self.scaled(self.high) - self.scaled(self.low)

    def __post_init__(self) -> None:
        if not (_is_number(self.low) and _is_number(self.high) and self.low < self.high):
            raise FamilyError(
                f"{self}: low and high must be finite numbers with low < high "
                "(for a single value use Choice([value]))"
            )

    def sample(self, rng: np.random.Generator) -> float:
        drawn = self.unscaled(float(rng.uniform(self.scaled(self.low), self.scaled(self.high))))
        # Rounding may leave the range.
        return min(max(float(f"{drawn:.6g}"), self.low), self.high)

    def contains(self, value: ParameterValue) -> bool:
        return _is_number(value) and self.low <= float(value) <= self.high


@dataclass(frozen=True)
class Uniform(Range):
    """Uniform on `[low, high]`.

    >>> Uniform(5.0, 15.0, unit="m/s^2").normalise(15.0)
    1.0

    Raises `FamilyError` unless both bounds are finite and `low < high`.
    """

    def scaled(self, value: float) -> float:
        return value

    def unscaled(self, value: float) -> float:
        return value

    def normalise(self, value: ParameterValue) -> float:
        return _linear(_number(value, self), self.low, self.high)


@dataclass(frozen=True)
class LogUniform(Range):
    """Uniform in the logarithm on `[low, high]`: for scales, such as a mass from 0.1 to 10 kg.

    Raises `FamilyError` unless both bounds are finite and `0 < low < high`.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low <= 0:
            raise FamilyError(f"{self}: low must be above 0; use Uniform for ranges across 0")

    def scaled(self, value: float) -> float:
        return math.log(value)

    def unscaled(self, value: float) -> float:
        return math.exp(value)

    def normalise(self, value: ParameterValue) -> float:
        number = _number(value, self)
        if number <= 0:
            raise FamilyError(f"{number} has no logarithm; {self} takes numbers above 0")
        return _linear(math.log(number), math.log(self.low), math.log(self.high))


@dataclass(frozen=True)
class DiskRadius(Range):
    """The distance from the centre of a point that is uniform on a disk, or on an annulus.

    Its density is proportional to the radius: `DiskRadius(0.0, 3.0, unit="m")` is 3 √U[0, 1].

    >>> DiskRadius(1.0, 3.0).normalise(2.0)
    0.0

    Raises `FamilyError` unless both bounds are finite and `0 <= low < high`.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low < 0:
            raise FamilyError(f"{self}: low must be at least 0, it is a radius")

    def scaled(self, value: float) -> float:
        return value**2

    def unscaled(self, value: float) -> float:
        return math.sqrt(value)

    def normalise(self, value: ParameterValue) -> float:
        return _linear(_number(value, self), self.low, self.high)


@dataclass(frozen=True, init=False)
class Union(Distribution):
    """One of several ranges of a kind, drawn from as one range with gaps.

    >>> speeds = Union([Uniform(0.0, 0.5, unit="m/s"), Uniform(3.0, 3.5, unit="m/s")])
    >>> speeds.contains(1.0), speeds.normalise(3.5)
    (False, 1.0)

    A range is chosen with probability proportional to its length (of `LogUniform`: of logarithms;
    of `DiskRadius`: to its area). Values are normalised over the hull, `low..high`.
    Raises `FamilyError` for no ranges, ranges of different kinds or units, choices, and ranges
    that overlap.
    """

    low: float = field(repr=False)
    high: float = field(repr=False)
    parts: tuple[Range, ...] = ()

    def __init__(self, parts: Sequence[Range]) -> None:
        parts = tuple(parts)
        _require_of_a_kind(parts)
        for name, value in {
            "low": min(part.low for part in parts),
            "high": max(part.high for part in parts),
            "unit": parts[0].unit,
            "parts": parts,
        }.items():
            object.__setattr__(self, name, value)

    @property
    def text(self) -> str:
        shown = " | ".join(f"{part.low:g}…{part.high:g}" for part in self.parts)
        return _with_unit(shown, self.unit)

    def sample(self, rng: np.random.Generator) -> float:
        lengths = np.array([part.length for part in self.parts])
        return self.parts[int(rng.choice(len(lengths), p=lengths / lengths.sum()))].sample(rng)

    def contains(self, value: ParameterValue) -> bool:
        return any(part.contains(value) for part in self.parts)

    def normalise(self, value: ParameterValue) -> float:
        return replace(self.parts[0], low=self.low, high=self.high).normalise(value)


@dataclass(frozen=True, init=False)
class Choice(Distribution):
    """One of finitely many values, all equally likely: numbers, or names.

    >>> Choice([-1, 1]).normalise(-1)
    -1.0

    Numbers are normalised by their size, names by their place in the list.
    Raises `FamilyError` for no values, repeated values, numbers mixed with names, or numbers
    that are not finite.
    """

    low: float = field(repr=False)
    high: float = field(repr=False)
    values: tuple[ParameterValue, ...] = ()

    def __init__(self, values: Sequence[ParameterValue], unit: str = "") -> None:
        if isinstance(values, str):
            raise FamilyError(f"Choice({values!r}): give a list of values, [{values!r}] for one")
        named = [isinstance(value, str) for value in values]
        if not named or not (all(named) or all(_is_number(value) for value in values)):
            raise FamilyError(
                f"Choice({values!r}): give at least one value, all finite numbers or all str"
            )
        if len(set(values)) != len(values):
            raise FamilyError(f"Choice({values!r}): a value is repeated; list each once")
        positions = range(len(values)) if named[0] else [float(value) for value in values]
        for name, value in {
            "low": float(min(positions)),
            "high": float(max(positions)),
            "unit": unit,
            "values": tuple(values),
        }.items():
            object.__setattr__(self, name, value)

    @property
    def text(self) -> str:
        shown = [f"{v:g}" if isinstance(v, float) else str(v) for v in self.values]
        return _with_unit(" | ".join(shown), self.unit)

    def sample(self, rng: np.random.Generator) -> ParameterValue:
        return self.values[int(rng.integers(len(self.values)))]

    def contains(self, value: ParameterValue) -> bool:
        return value in self.values

    def normalise(self, value: ParameterValue) -> float:
        if not isinstance(self.values[0], str):
            return _linear(_number(value, self), self.low, self.high)
        if value not in self.values:
            raise FamilyError(f"{value!r} is not among the choices {list(self.values)}")
        return _linear(self.values.index(value), self.low, self.high)


def _require_of_a_kind(parts: tuple[Range, ...]) -> None:
    shown = f"Union({list(parts)})"
    if not parts or not all(isinstance(part, Range) for part in parts):
        raise FamilyError(
            f"{shown}: give at least one Uniform, LogUniform or DiskRadius "
            "(values go into one Choice)"
        )
    if len({(type(part), part.unit) for part in parts}) > 1:
        raise FamilyError(f"{shown}: all ranges must be of one kind and in one unit")
    ordered = sorted(parts, key=lambda part: part.low)
    if any(left.high > right.low for left, right in itertools.pairwise(ordered)):
        raise FamilyError(f"{shown}: ranges overlap; merge those that do")


def _with_unit(text: str, unit: str) -> str:
    return f"{text} {unit}" if unit else text


def _is_number(value: object) -> bool:
    is_real = isinstance(value, int | float | np.integer | np.floating)
    return is_real and not isinstance(value, bool) and math.isfinite(value)


def _number(value: ParameterValue, distribution: Distribution) -> float:
    if not _is_number(value):
        raise FamilyError(f"{value!r} is not a finite number; {distribution} takes numbers")
    return float(value)


def _linear(value: float, low: float, high: float) -> float:
    return 2.0 * (value - low) / (high - low) - 1.0 if high > low else value - low
