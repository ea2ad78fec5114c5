"""How long environments of a family take for a step, as seen while they are stepped anyway."""

import weakref
from collections import deque

import numpy as np

from metarl_gan.envs.stepping.environment_source import EnvironmentSource

_ENOUGH, _KEPT = 10, 100

_CLOCKS: dict[int, "StepClock"] = {}


class StepClock:
    """The last times of a step of one environment."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_KEPT)

    def add(self, seconds: float) -> None:
        """Another step took so long."""
        self._seconds.append(seconds)

    @property
    def seconds(self) -> float | None:
        """The median of the last ones; `None` before there are ten."""
        if len(self._seconds) < _ENOUGH:
            return None
        return float(np.median(self._seconds))


def step_clock(family: EnvironmentSource) -> StepClock:
    """The clock of a family, which all its vector environments share."""
    key = id(family)
    if key not in _CLOCKS:
        _CLOCKS[key] = StepClock()
        weakref.finalize(family, _CLOCKS.pop, key, None)
    return _CLOCKS[key]
