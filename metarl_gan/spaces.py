"""Spaces as JSON, so that an agent can be loaded without the code of its family."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


def space_to_json(space: gymnasium.Space) -> dict[str, Any]:
    """A 1-D `Box` or a `Discrete` space as JSON values; infinite bounds as text."""
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.Box):
        return {
            "type": "Box",
            "low": [str(bound) for bound in space.low],
            "high": [str(bound) for bound in space.high],
            "dtype": str(space.dtype),
        }
    raise ValueError(f"space {space} is neither Box nor Discrete")


def space_from_json(content: Mapping[str, Any]) -> gymnasium.Space:
    """Inverse of `space_to_json`."""
    if content["type"] == "Discrete":
        return spaces.Discrete(content["n"], start=content["start"])
    dtype = np.dtype(content["dtype"]).type
    low = np.array([float(bound) for bound in content["low"]], dtype)
    high = np.array([float(bound) for bound in content["high"]], dtype)
    return spaces.Box(low, high, dtype=dtype)


def require_same_spaces(
    what: str,
    ours: tuple[gymnasium.Space, gymnasium.Space],
    theirs: tuple[gymnasium.Space, gymnasium.Space],
) -> None:
    """Raise `ValueError` unless two pairs of observation and action space fit each other.

    Bounds may differ: a policy clips its actions to those of the environment it acts in.
    """
    for name, our, their in zip(("observation", "action"), ours, theirs, strict=True):
        same = type(our) is type(their) and our.shape == their.shape
        if isinstance(our, spaces.Discrete) and our != their:
            same = False
        if not same:
            raise ValueError(
                f"{what} has the {name} space {their}; this agent was trained for {our}: use it "
                "in environments of its own family, or train one on this family"
            )
