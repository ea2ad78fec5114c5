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


def require_matching_spaces(env: gymnasium.Env, observation: gymnasium.Space, action: gymnasium.Space) -> None:
    """Raise `ValueError` unless `env` has spaces of the agent's shapes and kinds."""
    for name, ours, theirs in (
        ("observation", observation, env.observation_space),
        ("action", action, env.action_space),
    ):
        same_kind = type(ours) is type(theirs) and ours.shape == theirs.shape
        same_size = not isinstance(ours, spaces.Discrete) or ours == theirs
        if not (same_kind and same_size):
            raise ValueError(
                f"the environment's {name} space is {theirs}; this agent was trained for {ours}: "
                "wrap the environment to match, or train an agent on its family"
            )
