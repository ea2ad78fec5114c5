"""Setting parameters of a live environment by name."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.task import ParameterValue

_PART = re.compile(r"(?P<name>[A-Za-z_]\w*)(\[(?P<key>[^\]]+)\])?$")
_DOT = re.compile(r"\.(?![^\[]*\])")  # not those of a name in brackets
# Which MuJoCo object the rows of a model's array belong to, by the array's prefix.
_MUJOCO_OBJECTS = {"body": "body", "geom": "geom", "jnt": "joint", "actuator": "actuator"}


class AttributeParameters:
    """Parameters of which each is a place in the unwrapped environment.

    Paths are attribute names joined by dots, each with an optional index or, in a MuJoCo model,
    a name: `"g"`, `"model.opt.gravity[2]"`, `"model.body_mass[torso]"`,
    `"model.dof_damping[bthigh]"`. A parameter is the new value there, for every entry where the
    place is a whole array; a path that ends in `*` (`"model.dof_damping *"`) takes a factor of
    what was there when the environment was built.

    Args:
        names: The parameters, in the order that they are applied in.

    Raises:
        FamilyError: A name that is no path.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._paths = {name: name.removesuffix("*").rstrip() for name in names}
        self._factors = [name for name in names if name.endswith("*")]
        for path in self._paths.values():
            _parsed_path(path)

    def originals(self, env: gymnasium.Env) -> dict[str, Any]:
        """What the factors multiply, read off a new environment.

        Raises `FamilyError` where there is no such attribute.
        """
        return {name: _copied(_get(env, self._paths[name])) for name in self._factors}

    def apply(
        self,
        env: gymnasium.Env,
        values: Mapping[str, ParameterValue],
        originals: Mapping[str, Any],
    ) -> None:
        """Set every place of `env`, whatever was set before.

        Raises `FamilyError` where there is no such attribute, index or name, or it does not
        take the value.
        """
        for name in self._factors:
            _set(env, self._paths[name], _copied(originals[name]))
        for name, path in self._paths.items():
            if name in self._factors:
                _multiply(env, path, values[name])
            else:
                _set(env, path, values[name])
        if any(path.startswith("model.") for path in self._paths.values()):
            _refresh_mujoco(env)


def _get(env: gymnasium.Env, path: str) -> Any:  # noqa: ANN401 - whatever is there
    owner, name, key = _place(env, path)
    found = _attribute(owner, name, path)
    try:
        return found if key is None else found[_index(owner, name, key, path)]
    except (IndexError, KeyError, TypeError) as error:
        raise FamilyError(f"parameter {path!r} cannot be read: {error}") from error


def _set(env: gymnasium.Env, path: str, value: Any) -> None:  # noqa: ANN401 - of any type
    owner, name, key = _place(env, path)
    target = _attribute(owner, name, path)
    try:
        if key is not None:
            if isinstance(target, np.ndarray) and target is getattr(type(owner), name, None):
                target = np.array(target)  # the class's: other environments read it, too
                setattr(owner, name, target)
            target[_index(owner, name, key, path)] = value
        elif isinstance(target, np.ndarray):
            setattr(owner, name, np.full(target.shape, value))
        else:
            setattr(owner, name, value)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, FamilyError):
            raise
        raise FamilyError(f"parameter {path!r} cannot be set to {value!r}: {error}") from error


def _multiply(env: gymnasium.Env, path: str, factor: ParameterValue) -> None:
    present = _get(env, path)
    if isinstance(factor, str) or not isinstance(present, int | float | np.ndarray | np.number):
        raise FamilyError(
            f"parameter {path + ' *'!r} cannot multiply {present!r} by {factor!r}; without '*' it "
            "sets the value"
        )
    _set(env, path, present * factor)


def _place(env: gymnasium.Env, path: str) -> tuple[Any, str, str | None]:
    owner: Any = env.unwrapped
    *parents, (last, key) = _parsed_path(path)
    for name, parent_key in parents:
        owner, parent = _attribute(owner, name, path), owner
        if parent_key is not None:
            owner = owner[_index(parent, name, parent_key, path)]
    return owner, last, key


def _parsed_path(path: str) -> list[tuple[str, str | None]]:
    parts = []
    for part in _DOT.split(path):
        match = _PART.match(part)
        if match is None:
            raise FamilyError(
                f"parameter {path!r}: {part!r} is no attribute; write e.g. 'model.a[0]'"
            )
        parts.append((match["name"], match["key"]))
    return parts


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


def _copied(value: Any) -> Any:  # noqa: ANN401 - whatever is there
    return np.array(value) if isinstance(value, np.ndarray) else value


def _refresh_mujoco(env: gymnasium.Env) -> None:
    """Recompute what a MuJoCo model derives from masses and inertias."""
    model = getattr(env.unwrapped, "model", None)
    if type(model).__name__ != "MjModel":
        return
    from metarl_gan.envs.mujoco.api import MjData, mj_setConst

    mj_setConst(model, MjData(model))
