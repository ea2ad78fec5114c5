"""Task families from YAML files.

A file describes either a `ParametricFamily`, key by key as its arguments are called:

```yaml
name: heavy-pendulum                 # the file's name by default
env: Pendulum-v1                     # or package.module:callable
horizon: 200
parameters:
  g: {uniform: [5, 15], unit: m/s^2}
  m: {log_uniform: [0.5, 2.0], unit: kg}
  max_torque: {choice: [1.5, 2.0], unit: N m}
splits:                              # or a list of names, e.g. [train]
  ood: {g: {union: [{uniform: [2, 4]}, {uniform: [16, 18]}]}}
wrapper: package.module:callable     # if need be
floors: {zero_action: -1250.0}       # if known
```

or a family that has a name, with other options:

```yaml
family: half-cheetah-velocity
options: {threads: 1}
```
"""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from metarl_gan.envs.distributions import (
    Choice,
    DiskRadius,
    Distribution,
    LogUniform,
    Range,
    Uniform,
    Union,
)
from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.plug_in.parametric import ParametricFamily, Splits
from metarl_gan.envs.plug_in.strict_yaml import read_mapping
from metarl_gan.envs.references import import_reference, is_reference

_RANGES: dict[str, type[Range]] = {
    "uniform": Uniform,
    "log_uniform": LogUniform,
    "disk_radius": DiskRadius,
}
_KINDS = (*_RANGES, "choice", "union")
_REQUIRED = ("env", "parameters", "horizon")
_PARAMETRIC = (*_REQUIRED, "name", "splits", "floors", "wrapper")
_NAMED = ("family", "options")


def family_from_yaml(path: Path, make_named: Callable[..., TaskFamily]) -> TaskFamily:
    """The family that a file describes.

    Args:
        path: The file.
        make_named: Makes a family from its name and options.

    Raises:
        FamilyError: With the file and the key, for anything that is missing, unknown or wrong.
    """
    content = read_mapping(path)
    try:
        if "family" in content:
            return _named(content, make_named)
        return _parametric(content, path.stem)
    except FamilyError as error:
        raise FamilyError(f"{path}: {error}") from error


def _named(content: Mapping[str, Any], make_named: Callable[..., TaskFamily]) -> TaskFamily:
    _require_known(content, _NAMED, "")
    name, options = content["family"], _mapping(content.get("options"), "options")
    if not isinstance(name, str) or name.endswith((".yaml", ".yml")):
        raise FamilyError(f"family: is {name!r}; give a name or 'module:attribute', no other file")
    return make_named(name, **options)


def _parametric(content: Mapping[str, Any], name: str) -> TaskFamily:
    _require_known(content, _PARAMETRIC, "")
    missing = [key for key in _REQUIRED if key not in content]
    if missing:
        raise FamilyError(f"{', '.join(missing)}: missing; give {', '.join(_REQUIRED)}")
    env = _text(content["env"], "env")
    wrapper = content.get("wrapper")
    return ParametricFamily(
        _function(env, "env") if is_reference(env) else env,
        _parameters(content["parameters"], "parameters"),
        horizon=content["horizon"],
        name=_text(content.get("name", name), "name"),
        splits=_splits(content.get("splits", ())),
        floors={
            key: _number(value, f"floors.{key}")
            for key, value in _mapping(content.get("floors"), "floors").items()
        },
        wrapper=None if wrapper is None else _function(_text(wrapper, "wrapper"), "wrapper"),
    )


def _splits(value: object) -> Splits:
    if isinstance(value, Mapping):
        return {
            split: _parameters(_mapping(ranges, f"splits.{split}"), f"splits.{split}")
            for split, ranges in value.items()
        }
    return tuple(_text(split, "splits") for split in _sequence(value, "splits"))


def _parameters(value: object, key: str) -> dict[str, Distribution]:
    return {
        str(name): _distribution(range_, f"{key}.{name}")
        for name, range_ in _mapping(value, key).items()
    }


def _distribution(value: object, key: str, unit: str = "") -> Distribution:
    content = _mapping(value, key)
    _require_known(content, (*_KINDS, "unit"), f"{key}.")
    kinds = [kind for kind in _KINDS if kind in content]
    if len(kinds) != 1:
        raise FamilyError(f"{key}: is {value!r}; give one of {', '.join(_KINDS)}")
    [kind] = kinds
    unit = _text(content.get("unit", unit), f"{key}.unit")
    parts = _sequence(content[kind], f"{key}.{kind}")
    try:
        if kind == "choice":
            return Choice(parts, unit)
        if kind == "union":
            return Union([_part(part, f"{key}.union", unit) for part in parts])
        low, high = _bounds(parts, f"{key}.{kind}")
        return _RANGES[kind](low, high, unit)
    except FamilyError as error:
        text = str(error)
        raise FamilyError(text if text.startswith(key) else f"{key}: {text}") from error


def _part(value: object, key: str, unit: str) -> Range:
    part = _distribution(value, key, unit)
    if not isinstance(part, Range):
        raise FamilyError(f"{key}: is {value!r}; give ranges, each one of {', '.join(_RANGES)}")
    return part


def _bounds(parts: Sequence[object], key: str) -> tuple[float, float]:
    if len(parts) != 2:
        raise FamilyError(f"{key}: is {list(parts)!r}; give [low, high]")
    return _number(parts[0], key), _number(parts[1], key)


def _function(source: str, key: str) -> Callable[..., Any]:
    if not is_reference(source):
        raise FamilyError(f"{key}: is {source!r}; give 'package.module:callable'")
    try:
        found = import_reference(source)
    except FamilyError as error:
        raise FamilyError(f"{key}: {error}") from error
    if not callable(found):
        raise FamilyError(f"{key}: {source!r} is {found!r}, which cannot be called")
    return found


def _require_known(content: Iterable[str], known: Sequence[str], prefix: str) -> None:
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            hint = f"nearest: {near[0]}" if near else f"there are {', '.join(known)}"
            raise FamilyError(f"{prefix}{key}: unknown; {hint}")


def _mapping(value: object, key: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise FamilyError(f"{key}: is {value!r}; give names with values, e.g. {{name: value}}")
    return value


def _sequence(value: object, key: str) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise FamilyError(f"{key}: is {value!r}; give a list, e.g. [1, 2]")
    if any(isinstance(part, bool) for part in value):
        raise FamilyError(f"{key}: is {value!r}; put yes, no, on and off in quotes to have names")
    return value


def _number(value: object, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FamilyError(f"{key}: is {value!r}; give a number")
    return float(value)


def _text(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise FamilyError(f"{key}: is {value!r}; give a text")
    return value
