"""Observations of several parts, or images, as vectors of numbers."""

import math
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import FlattenObservation, TransformObservation

from metarl_gan.envs.errors import FamilyError

MAX_NUMBERS = 4096
"""More numbers than this in one observation are refused: a generator does not learn images."""
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Gymnasium's and OpenCV's

# The space that is left of one, and what turns an observation of it into one of that.
_Reduced: TypeAlias = tuple[spaces.Space, Callable[[Any], Any]]


def flatten_observations(
    env: gymnasium.Env,
    *,
    resize: tuple[int, int] | None = None,
    grayscale: bool = False,
    drop: Collection[str] = (),
) -> gymnasium.Env:
    """Wrap `env` so that its observations are vectors of numbers.

    `Dict`, `Tuple`, `Discrete`, images and boxes of any shape become one vector (by
    `gymnasium.wrappers.FlattenObservation`, in its order); values keep their scale. Text is left
    out, with a warning that names it unless `drop` does. Give it as `wrapper=` to a family;
    `functools.partial(flatten_observations, resize=(8, 8))` says how.

    Args:
        env: The environment.
        resize: Height and width that every image (a `Box` of 2 dimensions, or of 3 of which
            the last holds 1 or 3 colours) is averaged down to.
        grayscale: Whether images lose their colours.
        drop: Entries of a `Dict` observation to leave out; within another, `"outer.inner"`.

    Raises:
        FamilyError: Nothing to resize, an entry that is not there or that is no numbers, or
            more than 4096 numbers.
    """
    how = _Reduction(resize=resize, grayscale=grayscale, drop=frozenset(drop))
    unknown = how.drop - set(_paths(env.observation_space, ""))
    if unknown:
        raise FamilyError(
            f"cannot drop {sorted(unknown)}; the observation has "
            f"{sorted(_paths(env.observation_space, ''))}"
        )
    reduced = _reduced(env.observation_space, "", how)
    if reduced is None:
        raise FamilyError(f"nothing is left of {env.observation_space} without {sorted(drop)}")
    space, function = reduced
    if (resize or grayscale) and not any(
        _is_image(leaf) for leaf in _leaves(env.observation_space)
    ):
        raise FamilyError(f"{env.observation_space} has no image: leave out resize and grayscale")
    flat = FlattenObservation(TransformObservation(env, function, space))
    n_numbers = math.prod(flat.observation_space.shape or ())
    if n_numbers > MAX_NUMBERS:
        raise FamilyError(
            f"an observation has {n_numbers} numbers, more than {MAX_NUMBERS}; give "
            "resize=(16, 16), grayscale=True or drop=(…,)"
        )
    return flat


@dataclass(frozen=True, kw_only=True)
class _Reduction:
    """What is left of an observation."""

    resize: tuple[int, int] | None
    grayscale: bool
    drop: frozenset[str]


def _reduced(space: spaces.Space, path: str, how: _Reduction) -> _Reduced | None:
    """What is left of `space`; `None` where it is left out."""
    if path in how.drop:
        return None
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return _reduced_parts(space, path, how)
    if isinstance(space, spaces.Text) or isinstance(space.sample(), str):
        warnings.warn(
            f"the observation's {path!r} is text and left out; drop=({path!r},) says that you know",
            stacklevel=2,
        )
        return None
    if not space.is_np_flattenable:
        raise FamilyError(
            f"the observation's {path!r} is {space}, which is no fixed number of numbers; leave it "
            f"out with drop=({path!r},)"
        )
    if _is_image(space) and (how.resize or how.grayscale):
        return _reduced_image(space, path, how)
    return space, lambda observation: observation


def _reduced_parts(
    space: spaces.Dict | spaces.Tuple, path: str, how: _Reduction
) -> _Reduced | None:
    parts = {key: _reduced(part, _join(path, key), how) for key, part in _items(space)}
    kept = {key: part for key, part in parts.items() if part is not None}
    if not kept:
        return None
    left = spaces.Dict({str(key): part[0] for key, part in kept.items()})
    return left, lambda whole: {str(key): part[1](whole[key]) for key, part in kept.items()}


def _reduced_image(space: spaces.Space, path: str, how: _Reduction) -> _Reduced:
    assert isinstance(space, spaces.Box)
    shape = space.shape
    height, width = how.resize or shape[:2]
    if not (1 <= height <= shape[0] and 1 <= width <= shape[1]):
        raise FamilyError(
            f"the image {path!r} of {shape[0]} × {shape[1]} cannot be averaged down to "
            f"{height} × {width}"
        )
    rows, columns = _averaging(shape[0], height), _averaging(shape[1], width)

    def shrink(image: np.ndarray) -> np.ndarray:
        values = np.asarray(image, np.float64)
        if how.grayscale and values.ndim == 3:
            values = values @ _LUMINANCE if values.shape[2] == 3 else values[..., 0]
        values = np.einsum("hi,ij...->hj...", rows, values)
        return np.einsum("wj,hj...->hw...", columns, values).astype(np.float32)

    low, high = float(space.low.min()), float(space.high.max())
    return spaces.Box(low, high, shrink(np.zeros(shape)).shape, np.float32), shrink


def _averaging(old: int, new: int) -> np.ndarray:
    """`[new, old]`: how much of each old pixel's length lies in each new one; rows sum to 1."""
    edges = np.linspace(0, old, new + 1)
    starts = np.arange(old)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return np.clip(overlap, 0, None) * (new / old)


def _is_image(space: spaces.Space) -> bool:
    if not isinstance(space, spaces.Box):
        return False
    return len(space.shape) == 2 or (len(space.shape) == 3 and space.shape[2] in {1, 3})


def _items(space: spaces.Dict | spaces.Tuple) -> list[tuple[Any, spaces.Space]]:
    return list(space.items()) if isinstance(space, spaces.Dict) else list(enumerate(space))


def _paths(space: spaces.Space, path: str) -> list[str]:
    """The names of all entries, inner ones included."""
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        return []
    found = []
    for key, part in _items(space):
        inner = _join(path, key)
        found += [inner, *_paths(part, inner)]
    return found


def _leaves(space: spaces.Space) -> list[spaces.Space]:
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        return [space]
    return [leaf for _, part in _items(space) for leaf in _leaves(part)]


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
