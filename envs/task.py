"""One task: a draw from a task family."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from metarl_gan.envs.errors import FamilyError

ParameterValue: TypeAlias = float | int | str


def parameter_text(parameters: Mapping[str, ParameterValue]) -> str:
    """`{"x": 0.25, "y": 1}` -> `"x=0.25,y=1"`: equal parameters give equal text, and only they."""
    return ",".join(f"{name}={_text(value)}" for name, value in parameters.items())


def _text(value: ParameterValue) -> str:
    if isinstance(value, str):
        return repr(value) if set(value) & set("=,'") else value
    # 1 == 1.0 and 0.0 == -0.0 as parameters, hence one text for each pair.
    return f"{float(value) + 0.0:.17g}" if float(value).is_integer() else repr(float(value))


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """One task of a family: parameters, a readable id, a descriptor.

    Attributes:
        family: Name of the family it was drawn from.
        parameters: Physical values by declared name, in the units that the family states.
        id: Stable and readable, e.g. `"point-goal/x=0.1234,y=-0.2"`. Equal parameters of one
            family give equal ids, and only they; tasks compare and hash by it.
        descriptor: `float32 [n]`, the "task description": the parameters mapped to about
            [-1, 1]. Read-only.

    Raises:
        FamilyError: The descriptor is not a finite vector.
    """

    family: str
    parameters: Mapping[str, ParameterValue]
    id: str
    descriptor: np.ndarray

    def __post_init__(self) -> None:
        descriptor = np.array(self.descriptor, dtype=np.float32)
        if descriptor.ndim != 1 or not np.isfinite(descriptor).all():
            raise FamilyError(
                f"the descriptor of task {self.id!r} is {self.descriptor!r}; "
                "it must be a vector of finite numbers"
            )
        descriptor.flags.writeable = False
        object.__setattr__(self, "descriptor", descriptor)
        object.__setattr__(self, "parameters", dict(self.parameters))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Task) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)
