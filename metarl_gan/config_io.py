"""Settings by dotted name: overriding, reading and writing nested frozen dataclasses.

Works for any tree of frozen keyword-only dataclasses whose leaves are of the types that
`metarl_gan.config_values` reads. Every way in (mapping, file, flag) passes the same validation.
"""

import dataclasses
import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml

from metarl_gan.config import ConfigError
from metarl_gan.config_values import ValueMismatchError, describe_type, parse_value

C = TypeVar("C")


class _RepeatedKeyError(ValueError):
    """A key that its mapping holds already."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Settings from one source, by dotted or nested name.

    Args:
        source: where they came from, as an error should say it: "flags", "my.yaml".
        values: `{"learner.inner_steps": 3}`, `{"learner": {"inner_steps": 3}}`, or both mixed.
    """

    source: str
    values: Mapping[str, object]


def setting_types(config_class: type) -> dict[str, Any]:
    """Dotted name to type annotation of every leaf of a config class, in order."""
    leaves: dict[str, Any] = {}
    hints = get_type_hints(config_class)
    for config_field in dataclasses.fields(config_class):
        annotation = hints[config_field.name]
        if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
            inner = setting_types(annotation)
            leaves |= {f"{config_field.name}.{name}": hint for name, hint in inner.items()}
        else:
            leaves[config_field.name] = annotation
    return leaves


def override(config: C, values: Mapping[str, object], source: str = "overrides") -> C:
    """A copy of `config` with settings replaced, e.g. `{"learner.inner_steps": 3}`.

    Raises:
        ConfigError: naming every unknown setting with its nearest valid names, and every value of
            a wrong type with what is expected; or what a config's own validation objects to.
    """
    return resolve(config, Layer(source=source, values=values))


def resolve(config: C, *layers: Layer) -> C:
    """`config` with the layers on top, each winning over those before it (preset, file, flags).

    The layers are merged before anything is built, so a file may lean on a flag.

    Raises:
        ConfigError: as `override` does; a message names the layer's source.
    """
    return _rebuild(config, merge_layers(type(config), *layers))


def merge_layers(config_class: type, *layers: Layer) -> dict[str, Any]:
    """The settings that the layers give, by dotted name, parsed; the later layer wins.

    Raises:
        ConfigError: naming everything that is unknown or of a wrong type. Whether the settings
            contradict each other shows only once they are applied.
    """
    annotations = setting_types(config_class)
    merged: dict[str, Any] = {}
    problems: list[str] = []
    for layer in layers:
        problems += _read_layer(layer, annotations, merged)
    if problems:
        raise ConfigError("\n".join(problems))
    return merged


def to_plain(config: object) -> dict[str, Any]:
    """A config as nested dictionaries of plain values; tuples become lists."""
    plain: dict[str, Any] = {}
    for config_field in dataclasses.fields(config):  # pyrefly: ignore[bad-argument-type]
        value = getattr(config, config_field.name)
        if dataclasses.is_dataclass(value):
            plain[config_field.name] = to_plain(value)
        else:
            plain[config_field.name] = list(value) if isinstance(value, tuple) else value
    return plain


def flat(plain: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Values of nested dictionaries, such as `to_plain` gives, by dotted name."""
    found: dict[str, object] = {}
    for name, value in plain.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def from_plain(config_class: type[C], plain: Mapping[str, object], source: str) -> C:
    """The inverse of `to_plain`; a setting that is not given takes its default.

    Raises:
        ConfigError: as `override` does.
    """
    return override(config_class(), plain, source)


def dump_yaml(config: object) -> str:
    """A config as YAML text that `read_config_file` reads back exactly."""
    return yaml.safe_dump(to_plain(config), sort_keys=False, allow_unicode=True)


def dump_json(config: object) -> str:
    """A config as JSON text that `read_config_file` reads back exactly."""
    return json.dumps(to_plain(config), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def read_config_file(path: str | Path) -> Layer:
    """The settings a YAML or JSON file gives, nested or dotted; an empty file gives none.

    Raises:
        ConfigError: when the file is missing, unreadable or not a mapping, or repeats a key.
    """
    path = Path(path)
    parse = _parse_json if path.suffix == ".json" else _parse_yaml
    try:
        values = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read config file {path}: {error.strerror}") from None
    except (yaml.YAMLError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config file {path} cannot be parsed: {error}") from None
    except _RepeatedKeyError as error:
        raise ConfigError(f"config file {path} gives {error} twice; keep one of them") from None
    if values is None:
        values = {}
    if not isinstance(values, Mapping):
        raise ConfigError(f"config file {path} must map settings to values, e.g. 'seed: 3'")
    return Layer(source=str(path), values=values)


def nearest_names(name: str, known: list[str], count: int = 3) -> list[str]:
    """The most similar of the known dotted names, best first; possibly none.

    Similar as a whole or in the last part: `inner_step` finds `learner.inner_steps`.
    """

    def similarity(candidate: str) -> float:
        whole = difflib.SequenceMatcher(None, name, candidate).ratio()
        last = difflib.SequenceMatcher(
            None, name.rpartition(".")[2], candidate.rpartition(".")[2]
        ).ratio()
        return whole + last

    return [
        candidate
        for candidate in sorted(known, key=similarity, reverse=True)
        if similarity(candidate) > 1.1
    ][:count]


def _read_layer(layer: Layer, annotations: Mapping[str, Any], merged: dict[str, Any]) -> list[str]:
    """Parse a layer's settings into `merged`; return a line for each that is wrong."""
    problems = []
    groups = {name.rpartition(".")[0] for name in annotations} - {""}
    seen: set[str] = set()
    for name, value in _flat_items(layer.values):
        if name in seen:
            problems.append(f"{name} is given twice (from {layer.source}); keep one of them")
        elif name in annotations:
            try:
                merged[name] = parse_value(value, annotations[name])
            except ValueMismatchError:
                expected = describe_type(annotations[name])
                problems.append(f"{name} is {value!r} (from {layer.source}); expected {expected}")
        elif name in groups:
            problems.append(
                f"{name} is {value!r} (from {layer.source}); it is a group of settings: set "
                + ", ".join(leaf for leaf in annotations if leaf.startswith(f"{name}."))
            )
        else:
            problems.append(_unknown(name, layer.source, list(annotations)))
        seen.add(name)
    return problems


def _unknown(name: str, source: str, known: list[str]) -> str:
    near = nearest_names(name, known)
    hint = f"nearest: {', '.join(near)}" if near else f"there are: {', '.join(known)}"
    return f"unknown setting {name!r} (from {source}); {hint}"


def _flat_items(values: Mapping[Any, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Dotted names and values of nested mappings and config dataclasses."""
    for key, value in values.items():
        name = prefix + str(key).replace("-", "_")
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = to_plain(value)  # noqa: PLW2901 — a whole group given as its dataclass
        if isinstance(value, Mapping):
            yield from _flat_items(value, f"{name}.")
        else:
            yield name, value


def _rebuild(config: C, values: Mapping[str, object]) -> C:
    """Replace leaves by dotted name, each dataclass once, so that only the result is validated."""
    changes: dict[str, Any] = {}
    groups: dict[str, dict[str, object]] = {}
    for name, value in values.items():
        head, _, rest = name.partition(".")
        if rest:
            groups.setdefault(head, {})[rest] = value
        else:
            changes[head] = value
    for head, inner in groups.items():
        changes[head] = _rebuild(getattr(config, head), inner)
    if not changes:
        return config
    return dataclasses.replace(config, **changes)  # pyrefly: ignore[bad-specialization]


def _parse_yaml(text: str) -> object:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:
        return None
    _refuse_repeated_keys(root)
    return yaml.constructor.SafeConstructor().construct_document(root)


def _refuse_repeated_keys(node: yaml.Node) -> None:
    # YAML and JSON parsers let the last one win in silence.
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                raise _RepeatedKeyError(f"{key.value!r} (again in line {key.start_mark.line + 1})")
            seen.add(key.value)
            _refuse_repeated_keys(value)


def _parse_json(text: str) -> object:
    def mapping(pairs: list[tuple[str, object]]) -> dict[str, object]:
        for index, (key, _value) in enumerate(pairs):
            if any(key == earlier for earlier, _ in pairs[:index]):
                raise _RepeatedKeyError(repr(key))
        return dict(pairs)

    return json.loads(text, object_pairs_hook=mapping)
