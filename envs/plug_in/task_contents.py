"""What tasks of another interface consist of, as far as it can be told."""

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

_LONGEST = 64  # numbers that still describe a task rather than being one, such as a map


def identity(content: object) -> Hashable | None:
    """Equal for equal tasks, and only for them; `None` for objects that cannot be looked into.

    Numbers, text, arrays, dataclasses, and dictionaries, lists and tuples of them.
    """
    content = _plain(content)
    if isinstance(content, Mapping):
        parts = [(str(key), identity(content[key])) for key in sorted(content, key=str)]
        return None if any(part is None for _, part in parts) else tuple(parts)
    if isinstance(content, list | tuple):
        items = [identity(part) for part in content]
        return None if any(item is None for item in items) else tuple(items)
    if isinstance(content, np.ndarray):
        return None if content.dtype == object else (content.shape, *content.ravel().tolist())
    if isinstance(content, bool | int | float | str | bytes | np.generic):
        return (content,)
    return None


def distinct(contents: Sequence[Any]) -> list[int]:
    """Places of the contents that equal none before; what cannot be looked into always counts."""
    found: list[int] = []
    seen: set[Hashable] = set()
    for place, content in enumerate(contents):
        known = identity(content)
        if known is None or known not in seen:
            found.append(place)
        seen.add(known)
    return found


def descriptors(contents: Sequence[Any], n_train: int) -> np.ndarray | None:
    """Tasks as vectors float32 `[tasks, n]`; the train tasks, which come first, fill [-1, 1].

    `None` where the tasks are not all made of equally many finite numbers, at most 64.
    """
    vectors = [_numbers(content) for content in contents]
    known = [vector for vector in vectors if vector is not None]
    lengths = {len(vector) for vector in known}
    if len(known) < len(vectors) or len(lengths) != 1 or not 1 <= lengths.pop() <= _LONGEST:
        return None
    table = np.stack(known)
    if not np.isfinite(table).all():
        return None
    low, high = table[:n_train].min(0), table[:n_train].max(0)
    middle, half = (low + high) / 2, np.where(high > low, (high - low) / 2, 1.0)
    return ((table - middle) / half).astype(np.float32)


def _numbers(content: object) -> np.ndarray | None:
    """The numbers that a task is made of, float64 `[n]`; `None` if of anything else."""
    content = _plain(content)
    if isinstance(content, Mapping):
        content = [content[key] for key in sorted(content, key=str)]
    if isinstance(content, list | tuple):
        parts = [_numbers(part) for part in content]
        known = [part for part in parts if part is not None]
        return np.concatenate([np.zeros(0), *known]) if len(known) == len(parts) else None
    if isinstance(content, bool | int | float | np.generic | np.ndarray):
        array = np.asarray(content)
        return array.astype(np.float64).ravel() if array.dtype.kind in "biuf" else None
    return None


def _plain(content: object) -> object:
    if dataclasses.is_dataclass(content) and not isinstance(content, type):
        return {field.name: getattr(content, field.name) for field in dataclasses.fields(content)}
    return content
