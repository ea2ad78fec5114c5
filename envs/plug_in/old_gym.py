"""Telling environments of the old `gym` interface from Gymnasium's, without importing `gym`."""

from typing import Any

import gymnasium

from metarl_gan.envs.errors import FamilyError

_V21 = "shimmy.GymV21CompatibilityV0(env=env)"
_V26 = "shimmy.GymV26CompatibilityV0(env=env)"


def require_gymnasium(env: object) -> gymnasium.Env:
    """`env`, if it is a `gymnasium.Env`.

    Raises `FamilyError` with the way out if it is one of the old package `gym`, or of no package.
    """
    if isinstance(env, gymnasium.Env):
        return env
    kind = type(env)
    if any(base.__module__.partition(".")[0] == "gym" for base in kind.__mro__):
        raise FamilyError(
            f"{kind.__name__} is an environment of the old package gym, not of Gymnasium; wrap "
            f"it: {_V21} where step() returns 4 values, {_V26} where it returns 5"
        )
    raise FamilyError(
        f"{kind.__name__} is no gymnasium.Env; derive it from gymnasium.Env, or, if its step() "
        f"returns 4 values, wrap it: {_V21}"
    )


def require_new_api(env: gymnasium.Env, *, seed: int) -> None:
    """Reset `env`, take one step, and raise `FamilyError` if what comes back is of the old kind."""
    name = type(env.unwrapped).__name__
    way_out = f"port it to Gymnasium's, or wrap it: {_V21}"
    try:
        started: Any = env.reset(seed=seed)
    except TypeError as error:
        raise FamilyError(f"{name}.reset() takes no seed ({error}); {way_out}") from error
    if not (isinstance(started, tuple) and len(started) == 2 and isinstance(started[1], dict)):
        raise FamilyError(
            f"{name}.reset() returns {type(started).__name__}, in the old gym's way, not "
            f"(observation, info); {way_out}"
        )
    stepped: Any = env.step(env.action_space.sample())
    if len(stepped) != 5:
        raise FamilyError(
            f"{name}.step() returns {len(stepped)} values, in the old gym's way, not (observation, "
            f"reward, terminated, truncated, info); {way_out}"
        )
