"""Spaces as JSON, and which spaces fit each other."""

import json

import numpy as np
import pytest
from gymnasium import spaces

from metarl_gan.spaces import require_same_spaces, space_from_json, space_to_json

WIDE = spaces.Box(-5.0, 9.0, (2,), np.float64)
BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)


@pytest.mark.parametrize(
    "space",
    [
        BOX,
        spaces.Box(np.array([-np.inf, 0.1]), np.array([1e-7, np.inf]), dtype=np.float64),
        spaces.Box(-1, 3, (3,), np.int16),
        spaces.Discrete(4),
        spaces.Discrete(3, start=-2),
        spaces.MultiDiscrete([2, 3], start=[-1, 4]),
        spaces.Tuple([spaces.Discrete(3), BOX, spaces.Box(0, 1, ()), spaces.Box(0, 1, (2, 2))]),
        spaces.Dict({"gear": spaces.Discrete(3, start=1), "thrust": BOX}),
    ],
    ids=str,
)
def test_there_and_back_through_json_text(space):
    text = json.dumps(space_to_json(space), allow_nan=False)
    back = space_from_json(json.loads(text))
    assert back == space
    assert back.dtype == space.dtype


def test_other_spaces_are_refused():
    with pytest.raises(ValueError, match=r"MultiBinary.* is neither Box nor Discrete"):
        space_to_json(spaces.MultiBinary(3))


@pytest.mark.parametrize(
    ("theirs", "fits"),
    [
        (BOX, True),
        (spaces.Box(-5.0, 9.0, (2,), np.float64), True),
        (spaces.Box(-1.0, 1.0, (3,), np.float32), False),
        (spaces.Box(-1.0, 1.0, (2, 1), np.float32), False),
        (spaces.Discrete(2), False),
        (spaces.MultiDiscrete([2, 2]), False),
    ],
    ids=str,
)
def test_boxes_fit_by_shape(theirs, fits):
    for ours, others, name in (
        ((BOX, BOX), (theirs, BOX), "observation"),
        ((BOX, BOX), (BOX, theirs), "action"),
    ):
        if fits:
            require_same_spaces("the thing", ours, others)
            continue
        with pytest.raises(ValueError, match=f"^the thing has the {name} space .* trained for Box"):
            require_same_spaces("the thing", ours, others)


def test_discrete_spaces_fit_if_equal():
    ours = spaces.Discrete(3)
    require_same_spaces("x", (BOX, ours), (BOX, spaces.Discrete(3)))
    for other in (spaces.Discrete(4), spaces.Discrete(3, start=1)):
        with pytest.raises(ValueError, match="action space"):
            require_same_spaces("x", (BOX, ours), (BOX, other))


def pair(choice, box):
    return spaces.Tuple([choice, box])


def named(choice, box):
    return spaces.Dict([("thrust", box), ("gear", choice)])


@pytest.mark.parametrize("made", [pair, named])
def test_spaces_of_parts_fit_part_by_part(made):
    ours = made(spaces.Discrete(3), BOX)
    require_same_spaces("x", (BOX, ours), (BOX, made(spaces.Discrete(3), WIDE)))
    for other in (
        made(spaces.Discrete(2), BOX),
        made(spaces.Discrete(3), spaces.Box(-1, 1, (3,))),
        spaces.Tuple([spaces.Discrete(3), BOX, BOX]),
        spaces.Tuple([BOX, spaces.Discrete(3)]),
        spaces.Dict({"gear": spaces.Discrete(3), "brake": BOX}),
        spaces.Discrete(3),
    ):
        with pytest.raises(ValueError, match="action space"):
            require_same_spaces("x", (BOX, ours), (BOX, other))


def test_the_order_of_names_does_not_matter():
    ours = spaces.Dict([("thrust", BOX), ("gear", spaces.Discrete(3))])
    theirs = spaces.Dict([("gear", spaces.Discrete(3)), ("thrust", BOX)])
    require_same_spaces("x", (BOX, ours), (BOX, theirs))
