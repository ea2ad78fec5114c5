"""Which spaces can be learnt on, and the way out for the others."""

import math

import gymnasium
from gymnasium import spaces


def observation_problem(space: gymnasium.Space) -> str | None:
    """Why observations of `space` cannot be learnt on, and what to do; `None` for a 1-D `Box`."""
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return None
    return (
        f"observation space {space} is not supported; give a 1-D Box: "
        "metarl_gan.envs.flatten_observations, as wrapper= of the family, makes one"
    )


def action_problem(space: gymnasium.Space) -> str | None:
    """Why `space` cannot be acted in, and what to do; `None` for a 1-D `Box` or a `Discrete`."""
    if isinstance(space, spaces.Discrete) or (
        isinstance(space, spaces.Box) and len(space.shape) == 1
    ):
        return None
    if isinstance(space, spaces.MultiDiscrete):
        sizes = tuple(space.nvec.ravel().tolist())
        function = f"lambda a: np.unravel_index(a, {sizes})"
        target = f"Discrete({math.prod(sizes)})"
    elif isinstance(space, spaces.MultiBinary):
        function = f"lambda a: (a > 0).reshape({space.shape}).astype(np.int8)"
        target = f"Box(-1, 1, ({math.prod(space.shape)},))"
    elif isinstance(space, spaces.Box):
        function = f"lambda a: a.reshape({space.shape})"
        target = f"Box({space.low.min()}, {space.high.max()}, ({math.prod(space.shape)},))"
    else:
        function, target = "lambda a: …", "Box(…)"
    return (
        f"action space {space} is not supported; give a 1-D Box or a Discrete: "
        f"gymnasium.wrappers.TransformAction(env, {function}, gymnasium.spaces.{target}), in "
        "wrapper= of the family, makes one"
    )
