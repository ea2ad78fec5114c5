"""One setting's value: from what a file or a flag said to the type that the setting has."""

import math
import types
from collections.abc import Sequence
from typing import Any, Literal, Union, get_args, get_origin

NONE_WORDS = frozenset({"none", "null"})
TRUE_WORDS = frozenset({"true", "yes", "on", "1"})
FALSE_WORDS = frozenset({"false", "no", "off", "0"})


class ValueMismatchError(ValueError):
    """A value that is not of the type asked for. Whoever knows the setting's name reports it."""


def parse_value(value: object, annotation: Any) -> Any:  # noqa: ANN401 — any type annotation
    """`value` as the type `annotation` describes.

    Strings are read the way a command line writes them ("3", "1e-3", "true", "64,64", "none");
    anything else must already have the type, except that whole numbers count as floats and lists
    as tuples.

    Args:
        value: from a flag, a YAML or JSON file, or Python.
        annotation: bool, int, float, str, a Literal, an optional, or a tuple of these.

    Raises:
        ValueMismatchError: when the value does not fit.
        TypeError: for an annotation of another kind (a mistake in the dataclass, not the user's).
    """
    origin = get_origin(annotation)
    if origin is Literal:
        return _parse_literal(value, get_args(annotation))
    if origin in (Union, types.UnionType):
        return _parse_optional(value, annotation)
    if origin is tuple:
        return _parse_tuple(value, get_args(annotation))
    parsers = {bool: _parse_bool, int: _parse_int, float: _parse_float, str: _parse_str}
    if annotation not in parsers:
        raise TypeError(f"settings of type {annotation!r} are not supported")
    return parsers[annotation](value)


def describe_type(annotation: Any) -> str:  # noqa: ANN401 — any type annotation
    """What a setting of this type takes, in words, for error messages and help."""
    origin, members = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in members)
    if origin in (Union, types.UnionType):
        kept = [member for member in members if member is not types.NoneType]
        return " or ".join([*(describe_type(member) for member in kept), "none"])
    if origin is tuple:
        if members[1:] == (...,):
            return f"a list, each item {describe_type(members[0])}"
        return f"{len(members)} values: " + ", ".join(describe_type(member) for member in members)
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return names.get(annotation, str(annotation))


def _parse_literal(value: object, choices: tuple[object, ...]) -> object:
    for choice in choices:
        # The type is compared as well: True == 1, and neither may stand for the other.
        if type(value) is type(choice) and value == choice:
            return choice
    for choice in choices:
        if isinstance(value, str) and not isinstance(choice, str) and value == str(choice):
            return choice
    raise ValueMismatchError


def _parse_optional(value: object, annotation: Any) -> Any:  # noqa: ANN401
    members = [member for member in get_args(annotation) if member is not types.NoneType]
    for member in members:
        if get_origin(member) is Literal and value in get_args(member):
            return value
    if value is None or (isinstance(value, str) and value.strip().lower() in NONE_WORDS):
        if len(members) == len(get_args(annotation)):
            raise ValueMismatchError
        return None
    for member in members:
        try:
            return parse_value(value, member)
        except ValueMismatchError:
            continue
    raise ValueMismatchError


def _parse_tuple(value: object, members: tuple[Any, ...]) -> tuple[Any, ...]:
    if isinstance(value, str):
        # Brackets of either kind, commas or spaces: "(64, 64)", "[64,64]", "64 64", "64".
        value = value.strip().strip("()[]").replace(",", " ").split()
    if not isinstance(value, Sequence):
        raise ValueMismatchError
    if members[1:] == (...,):
        members = members[:1] * len(value)
    if len(value) != len(members):
        raise ValueMismatchError
    return tuple(parse_value(item, member) for item, member in zip(value, members, strict=True))


def _parse_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in TRUE_WORDS | FALSE_WORDS:
        return value.strip().lower() in TRUE_WORDS
    raise ValueMismatchError


def _parse_int(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            raise ValueMismatchError from None
    raise ValueMismatchError


def _parse_float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueMismatchError
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueMismatchError from None
    if not math.isfinite(number):
        raise ValueMismatchError
    return number


def _parse_str(value: object) -> str:
    if not isinstance(value, str):
        raise ValueMismatchError
    return value
