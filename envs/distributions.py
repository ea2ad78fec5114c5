"""Distributions that a task's parameters are drawn from."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

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
class Uniform(Distribution):
    """Uniform on `[low, high]`.

    >>> Uniform(5.0, 15.0, unit="m/s^2").normalise(15.0)
    1.0

    Raises `FamilyError` unless both bounds are finite and `low < high`.
    """

    def __post_init__(self) -> None:
        _require_bounds(self)

    def sample(self, rng: np.random.Generator) -> float:
        return _rounded(float(rng.uniform(self.low, self.high)), self)

    def contains(self, value: ParameterValue) -> bool:
        return _is_number(value) and self.low <= float(value) <= self.high

    def normalise(self, value: ParameterValue) -> float:
        return _linear(_number(value, self), self.low, self.high)


@dataclass(frozen=True)
class LogUniform(Distribution):
    """Uniform in the logarithm on `[low, high]`: for scales, such as a mass from 0.1 to 10 kg.

    Raises `FamilyError` unless both bounds are finite and `0 < low < high`.
    """

    def __post_init__(self) -> None:
        _require_bounds(self)
        if self.low <= 0:
            raise FamilyError(f"{self}: low must be above 0; use Uniform for ranges across 0")

    def sample(self, rng: np.random.Generator) -> float:
        return _rounded(math.exp(rng.uniform(math.log(self.low), math.log(self.high))), self)

    def contains(self, value: ParameterValue) -> bool:
        return _is_number(value) and self.low <= float(value) <= self.high

    def normalise(self, value: ParameterValue) -> float:
        number = _number(value, self)
        if number <= 0:
            raise FamilyError(f"{number} has no logarithm; {self} takes numbers above 0")
        return _linear(math.log(number), math.log(self.low), math.log(self.high))


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


def _require_bounds(distribution: Uniform | LogUniform) -> None:
    low, high = distribution.low, distribution.high
    if not (_is_number(low) and _is_number(high) and low < high):
        raise FamilyError(
            f"{distribution}: low and high must be finite numbers with low < high "
            "(for a single value use Choice([value]))"
        )


def _rounded(value: float, distribution: Uniform | LogUniform) -> float:
    return min(max(float(f"{value:.6g}"), distribution.low), distribution.high)


def _is_number(value: object) -> bool:
    is_real = isinstance(value, int | float | np.integer | np.floating)
    return is_real and not isinstance(value, bool) and math.isfinite(value)


def _number(value: ParameterValue, distribution: Distribution) -> float:
    if not _is_number(value):
        raise FamilyError(f"{value!r} is not a finite number; {distribution} takes numbers")
    return float(value)


def _linear(value: float, low: float, high: float) -> float:
    return 2.0 * (value - low) / (high - low) - 1.0 if high > low else value - low
