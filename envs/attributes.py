"""Setting a parameter of a live environment by name."""

import difflib
import re
from typing import Any

import gymnasium

from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.task import ParameterValue

_PART = re.compile(r"(?P<name>[A-Za-z_]\w*)(\[(?P<key>[^\]]+)\])?$")
# Which MuJoCo object the rows of a model's array belong to, by the array's prefix.
_MUJOCO_OBJECTS = {"body": "body", "geom": "geom", "jnt": "joint", "actuator": "actuator"}


def set_attribute(env: gymnasium.Env, path: str, value: ParameterValue) -> None:
    """Set `path` of the unwrapped environment to `value`.

    Paths are attribute names joined by dots, each with an optional index or, in a MuJoCo model,
    a name: `"g"`, `"model.opt.gravity[2]"`, `"model.body_mass[torso]"`,
    `"model.dof_damping[bthigh]"`.

    Raises `FamilyError` where the environment has no such attribute, index or name.
    """
    owner: Any = env.unwrapped
    *parents, last = [_parsed(part, path) for part in path.split(".")]
    for name, key in parents:
        owner = _attribute(owner, name, path)
        owner = owner if key is None else owner[_index(owner, name, key, path)]
    name, key = last
    target = _attribute(owner, name, path)
    if key is None:
        setattr(owner, name, value)
        return
    index = _index(owner, name, key, path)
    try:
        target[index] = value
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise FamilyError(f"parameter {path!r} cannot be set to {value!r}: {error}") from error


def _parsed(part: str, path: str) -> tuple[str, str | None]:
    match = _PART.match(part)
    if match is None:
        raise FamilyError(f"parameter {path!r}: {part!r} is no attribute; write e.g. 'model.a[0]'")
    return match["name"], match["key"]


def _attribute(owner: object, name: str, path: str) -> Any:  # noqa: ANN401 - anything
    if name not in dir(owner):
        public = [known for known in dir(owner) if not known.startswith("_")]
        near = difflib.get_close_matches(name, public, n=3)
        raise FamilyError(
            f"parameter {path!r}: {type(owner).__name__} has no attribute {name!r}"
            + (f"; did you mean {near}?" if near else f"; it has {public}")
        )
    return getattr(owner, name)


def _index(owner: Any, name: str, key: str, path: str) -> int:  # noqa: ANN401 - a MuJoCo model
    if key.lstrip("-").isdigit():
        return int(key)
    prefix = name.split("_", maxsplit=1)[0]
    try:
        if prefix == "dof":
            return int(owner.joint(key).dofadr[0])
        return int(getattr(owner, _MUJOCO_OBJECTS[prefix])(key).id)
    except (AttributeError, KeyError) as error:
        raise FamilyError(
            f"parameter {path!r}: nothing is called {key!r} in {name!r}; give an index, or a name "
            f"in a MuJoCo array of {list(_MUJOCO_OBJECTS)} or dof ({error})"
        ) from error
