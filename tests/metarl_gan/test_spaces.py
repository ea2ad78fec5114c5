"""Spaces as JSON, and which spaces fit each other."""

import json

import numpy as np
import pytest
from gymnasium import spaces

from metarl_gan.spaces import require_same_spaces, space_from_json, space_to_json

BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)


@pytest.mark.parametrize(
    "space",
    [
        BOX,
        spaces.Box(np.array([-np.inf, 0.1]), np.array([1e-7, np.inf]), dtype=np.float64),
        spaces.Box(-1, 3, (3,), np.int16),
        spaces.Discrete(4),
        spaces.Discrete(3, start=-2),
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
