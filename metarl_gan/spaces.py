"""Spaces as JSON, so that an agent can be loaded without the code of its family."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


def space_to_json(space: gymnasium.Space) -> dict[str, Any]:
    """A space that can be learnt on as JSON values; infinite bounds as text."""
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.Box):
        content = {
            "type": "Box",
            "low": [str(bound) for bound in space.low.ravel()],
            "high": [str(bound) for bound in space.high.ravel()],
            "dtype": str(space.dtype),
        }
        return content if len(space.shape) == 1 else {**content, "shape": list(space.shape)}
    if isinstance(space, spaces.MultiDiscrete):
        return {
            "type": "MultiDiscrete",
            "nvec": space.nvec.tolist(),
            "start": space.start.tolist(),
            "dtype": str(space.dtype),
        }
    if isinstance(space, spaces.Tuple):
        return {"type": "Tuple", "parts": [space_to_json(part) for part in space.spaces]}
    if isinstance(space, spaces.Dict):
        parts = {name: space_to_json(part) for name, part in space.spaces.items()}
        return {"type": "Dict", "parts": parts}
    raise ValueError(f"space {space} is neither Box nor Discrete, nor made of these")


def space_from_json(content: Mapping[str, Any]) -> gymnasium.Space:
    """Inverse of `space_to_json`."""
    match content["type"]:
        case "Discrete":
            return spaces.Discrete(content["n"], start=content["start"])
        case "Tuple":
            return spaces.Tuple([space_from_json(part) for part in content["parts"]])
        case "Dict":
            parts = content["parts"].items()
            return spaces.Dict({name: space_from_json(part) for name, part in parts})
    dtype = np.dtype(content["dtype"]).type
    if content["type"] == "MultiDiscrete":
        return spaces.MultiDiscrete(content["nvec"], dtype=dtype, start=content["start"])
    shape = content.get("shape", (-1,))
    low = np.array([float(bound) for bound in content["low"]], dtype).reshape(shape)
    high = np.array([float(bound) for bound in content["high"]], dtype).reshape(shape)
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
        if not _fit(our, their):
            raise ValueError(
                f"{what} has the {name} space {their}; this agent was trained for {our}: use it "
                "in environments of its own family, or train one on this family"
            )


def _fit(our: gymnasium.Space, their: gymnasium.Space) -> bool:
    if isinstance(our, spaces.Tuple) and isinstance(their, spaces.Tuple):
        same = len(our.spaces) == len(their.spaces)
        return same and all(map(_fit, our.spaces, their.spaces))
    if isinstance(our, spaces.Dict) and isinstance(their, spaces.Dict):
        same = our.spaces.keys() == their.spaces.keys()
        return same and all(_fit(part, their[name]) for name, part in our.spaces.items())
    if isinstance(our, spaces.Box) and isinstance(their, spaces.Box):
        return our.shape == their.shape
    return our == their
