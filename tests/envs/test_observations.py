import re
import warnings
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from metarl_gan.envs import FamilyError, ParametricFamily, Uniform, check_family
from metarl_gan.envs.plug_in.observations import flatten_observations
from metarl_gan.envs.supported_spaces import action_problem, observation_problem
from tests.envs.toys import Walk


class Showing(gymnasium.Env):
    """Shows what it is told to."""

    action_space = spaces.Discrete(2)

    def __init__(self, space, observation):
        self.observation_space, self.observation = space, observation

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation, {}

    def step(self, action):
        return self.observation, 0.0, False, False, {}


def seen(space, observation, **options) -> tuple[gymnasium.Env, np.ndarray]:
    env = flatten_observations(Showing(space, observation), **options)
    first = env.reset()[0]
    assert env.observation_space.contains(first)
    assert np.array_equal(env.step(0)[0], first)
    return env, first


GRID = spaces.Dict(
    {
        "direction": spaces.Discrete(4),
        "image": spaces.Box(0, 255, (2, 2, 3), np.uint8),
        "mission": spaces.Text(20),
    }
)
LOOK = {"direction": 2, "image": np.arange(12, dtype=np.uint8).reshape(2, 2, 3), "mission": "go"}


def test_parts_are_put_in_a_row_and_text_is_left_out_aloud():
    with pytest.warns(UserWarning, match="'mission' is text and left out"):
        env, row = seen(GRID, LOOK)
    assert row.tolist() == [0, 0, 1, 0, *range(12)]
    assert env.observation_space.shape == (16,)


def test_nothing_is_said_of_text_that_one_leaves_out_oneself():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert seen(GRID, LOOK, drop=("mission",))[1].shape == (16,)
        assert seen(GRID, LOOK, drop=("mission", "image"))[1].tolist() == [0, 0, 1, 0]


def test_tuples_nested_parts_and_choices():
    space = spaces.Tuple(
        [spaces.Dict({"a": spaces.Box(0, 1, (2, 1)), "b": spaces.Discrete(2)}), spaces.Discrete(3)]
    )
    look = ({"a": np.array([[0.25], [0.5]], np.float32), "b": 1}, 0)
    assert seen(space, look)[1].tolist() == [0.25, 0.5, 0, 1, 1, 0, 0]
    assert seen(space, look, drop=("0.a",))[1].tolist() == [0, 1, 1, 0, 0]
    assert seen(spaces.Discrete(3), 1)[1].tolist() == [0, 1, 0]


def test_images_are_averaged_down_and_lose_their_colours():
    image = np.zeros((4, 6, 3), np.uint8)
    image[:2, :3] = 100  # the upper left quarter
    image[2:, 3:, 0] = 200  # red in the lower right
    space = spaces.Box(0, 255, image.shape, np.uint8)
    assert seen(space, image, resize=(2, 2))[1].tolist() == [100] * 3 + [0] * 6 + [200, 0, 0]
    gray = seen(space, image, resize=(2, 2), grayscale=True)[1]
    assert gray == pytest.approx([100, 0, 0, 0.299 * 200])
    assert seen(space, image, grayscale=True)[1].shape == (24,)
    thirds = seen(spaces.Box(0, 9, (3, 1)), np.array([[3], [6], [9]], np.float32), resize=(2, 1))
    assert thirds[1] == pytest.approx([(3 + 0.5 * 6) / 1.5, (0.5 * 6 + 9) / 1.5])
    single = np.full((2, 2, 1), 7, np.uint8)
    space = spaces.Box(0, 255, single.shape, np.uint8)
    assert seen(space, single, grayscale=True)[1].tolist() == [7] * 4


@pytest.mark.parametrize(
    ("space", "options", "message"),
    [
        (GRID, {"drop": ("misson",)}, r"cannot drop \['misson'\].*'mission'"),
        (GRID, {"drop": ("image", "mission", "direction")}, "nothing is left"),
        (spaces.Discrete(3), {"resize": (2, 2)}, "has no image"),
        (spaces.Box(0, 1, (3,)), {"grayscale": True}, "has no image"),
        (spaces.Box(0, 1, (3, 3)), {"resize": (4, 2)}, "3 × 3 cannot be averaged down to 4 × 2"),
        (spaces.Box(0, 255, (96, 96, 3), np.uint8), {}, "has 27648 numbers.*resize="),
        (
            spaces.Dict({"list": spaces.Sequence(spaces.Discrete(2))}),
            {},
            r"'list' is .*no fixed number of numbers.*drop=\('list',\)",
        ),
    ],
)
def test_what_makes_no_vector_is_refused(space, options, message):
    with pytest.raises(FamilyError, match=message):
        flatten_observations(Showing(space, None), **options)


class Grid(Walk):
    """Shows its count as an image, a heading and a text."""

    observation_space = spaces.Dict(
        {"image": spaces.Box(0, 255, (4, 4), np.uint8), "mission": spaces.Text(9)}
    )

    def observation(self) -> Any:
        return {"image": np.full((4, 4), self.count, np.uint8), "mission": "walk"}


def test_a_family_of_such_environments_is_learnt_on_like_any_other():
    look = partial(flatten_observations, resize=(2, 2), drop=("mission",))
    family = ParametricFamily(Grid, {"scale": Uniform(0.5, 2.0)}, horizon=10, wrapper=look)
    assert family.observation_space.shape == (4,)
    assert family.observation_space.dtype == np.float32
    check_family(family)
    venv = family.make_vec(family.sample(2, seed=0), backend="sync")
    venv.reset(seed=0)
    assert venv.step(np.zeros((2, 1), np.float32))[0].tolist() == [[1] * 4] * 2


class Busy(gymnasium.Env):
    """Keeps the action that reaches it."""

    observation_space = spaces.Box(0, 1, (1,))

    def __init__(self, space):
        self.action_space, self.seen = space, None

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.seen = action
        return np.zeros(1, np.float32), 0.0, False, False, {}


@pytest.mark.parametrize(
    "space",
    [
        spaces.MultiDiscrete(np.array([[3, 2], [2, 4]])),
        spaces.MultiBinary(3),
        spaces.MultiBinary((2, 2)),
        spaces.Box(-2.0, 2.0, (2, 2)),
    ],
)
def test_the_way_out_of_other_actions_is_one(space):
    problem = action_problem(space)
    assert problem is not None
    code = problem[problem.index("gymnasium.wrappers") : problem.index(", in wrapper=")]
    env = Busy(space)
    names = {"gymnasium": gymnasium, "np": np, "env": env}
    wrapped: gymnasium.Env = eval(code, names)  # noqa: S307 - what the message says to write
    assert action_problem(wrapped.action_space) is None
    wrapped.reset()
    reached = set()
    for _ in range(20):
        wrapped.step(wrapped.action_space.sample())
        kept = env.seen if isinstance(env.seen, np.ndarray) else np.array(env.seen)
        assert space.contains(kept.astype(space.dtype))
        reached |= set(kept.ravel().tolist())
    assert len(reached) > 1


def test_supported_spaces_have_no_problem():
    assert action_problem(spaces.Discrete(3)) is action_problem(spaces.Box(-1, 1, (2,))) is None
    assert observation_problem(spaces.Box(-1, 1, (2,))) is None
    parts = [spaces.Discrete(2), spaces.Box(-1, 1, (2, 2)), spaces.MultiDiscrete([2, 3])]
    for space in (
        *parts[2:],
        spaces.Tuple(parts),
        spaces.Dict(dict(zip("abc", parts, strict=True))),
    ):
        assert action_problem(space) is None


@pytest.mark.parametrize(
    ("space", "what"),
    [
        (
            spaces.Dict({"a": spaces.Tuple([spaces.Discrete(2)])}),
            r"its part Tuple\(Discrete\(2\)\)",
        ),
        (spaces.Tuple([spaces.Text(3)]), "its part Text"),
        (spaces.Tuple([spaces.MultiDiscrete(np.array([[2, 3]]))]), "its part MultiDiscrete"),
        (spaces.Tuple([spaces.Discrete(2, start=2**24)]), "its part Discrete"),
        (spaces.Tuple([]), "it has no parts"),
    ],
)
def test_parts_of_actions_are_boxes_and_choices(space, what):
    problem = action_problem(space)
    assert problem is not None
    assert re.search(what, problem)
    assert "TransformAction" in problem


def test_other_observations_have_a_way_out():
    assert "flatten_observations" in str(observation_problem(spaces.Discrete(2)))
