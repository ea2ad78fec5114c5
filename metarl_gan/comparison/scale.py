"""The normalised score of a family: 0 for doing nothing, 1 for its reference."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metarl_gan.statistics import FloatArray

ZEROS = ("zero_action", "random")
"""Floors that are 0 on the scale, the first that the family knows."""
MARKS = (0.25, 0.5, 0.75)
"""Thresholds on the scale, where a user gives none in returns."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """`(return - zero) / (reference - zero)`.

    Args:
        floor: which floor is 0.
        zero: its return.
        reference: the return that is 1.
    """

    floor: str
    zero: float
    reference: float

    def score(self, returns: FloatArray) -> FloatArray:
        """Returns of any shape as scores."""
        return np.asarray((returns - self.zero) / (self.reference - self.zero))

    def thresholds(self) -> tuple[float, ...]:
        """`MARKS` as returns."""
        return tuple(self.zero + mark * (self.reference - self.zero) for mark in MARKS)


def scale_of(floors: Mapping[str, float], reference: float | None) -> Scale | None:
    """The scale of a family; `None` where it knows no floor, or no reference above that."""
    floor = next((name for name in ZEROS if name in floors), None)
    if floor is None or reference is None or reference <= floors[floor]:
        return None
    return Scale(floor=floor, zero=floors[floor], reference=reference)
