"""Which spaces can be learnt on, and the way out for the others."""

import math
from collections.abc import Sequence

import gymnasium
import numpy as np
from gymnasium import spaces

MAX_NUMBER = 2**24
"""Up to which float32 holds every whole number."""


def observation_problem(space: gymnasium.Space) -> str | None:
    """Why observations of `space` cannot be learnt on, and what to do; `None` for a 1-D `Box`."""
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return None
    return (
        f"observation space {space} is not supported; give a 1-D Box: "
        "metarl_gan.envs.flatten_observations, as wrapper= of the family, makes one"
    )


def action_problem(space: gymnasium.Space) -> str | None:
    """Why `space` cannot be acted in, and what to do; `None` where it can.

    Supported are a 1-D `Box`, a `Discrete`, a 1-D `MultiDiscrete`, and a `Tuple` or `Dict` of
    those, there with boxes of any shape.
    """
    if isinstance(space, spaces.Tuple | spaces.Dict):
        return _hybrid_problem(space)
    if isinstance(space, spaces.Discrete):
        return None
    if _is_part(space) and not (isinstance(space, spaces.Box) and len(space.shape) != 1):
        return None
    if isinstance(space, spaces.MultiDiscrete):
        function = f"lambda a: a.reshape({space.shape})"
        target = f"MultiDiscrete({space.nvec.ravel().tolist()})"
    elif isinstance(space, spaces.MultiBinary):
        function = f"lambda a: (a > 0).reshape({space.shape}).astype(np.int8)"
        target = f"Box(-1, 1, ({math.prod(space.shape)},))"
    elif isinstance(space, spaces.Box):
        function = f"lambda a: a.reshape({space.shape})"
        target = f"Box({space.low.min()}, {space.high.max()}, ({math.prod(space.shape)},))"
    else:
        function, target = "lambda a: …", "Box(…)"
    return (
        f"action space {space} is not supported; give a 1-D Box, a Discrete, a 1-D MultiDiscrete, "
        "or a Tuple or Dict of these: "
        f"gymnasium.wrappers.TransformAction(env, {function}, gymnasium.spaces.{target}), in "
        "wrapper= of the family, makes one"
    )


def _hybrid_problem(space: spaces.Tuple | spaces.Dict) -> str | None:
    named = isinstance(space, spaces.Dict)
    parts: Sequence[gymnasium.Space] = [*(space.spaces.values() if named else space.spaces)]
    other = next((part for part in parts if not _is_part(part)), None)
    if parts and other is None:
        return None
    what = "it has no parts" if other is None else f"its part {other} is none of them"
    return (
        f"action space {space} is not supported; the parts of a Tuple or Dict may be Box, Discrete "
        f"and 1-D MultiDiscrete, and {what}: gymnasium.wrappers.TransformAction(env, lambda a: …, "
        "gymnasium.spaces.Tuple([…])), in wrapper= of the family, makes one"
    )


def _is_part(space: gymnasium.Space) -> bool:
    if isinstance(space, spaces.Discrete):
        return _is_exact(np.array([space.start, space.start + space.n]))
    if isinstance(space, spaces.MultiDiscrete):
        return len(space.shape) == 1 and _is_exact(
            np.stack([space.start, space.start + space.nvec])
        )
    return isinstance(space, spaces.Box)


def _is_exact(numbers: np.ndarray) -> bool:
    return bool((np.abs(numbers) <= MAX_NUMBER).all())
