"""Actions of several parts: how they lie in arrays, and that environments get them back."""

from contextlib import closing

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from metarl_gan.envs import FamilyError, check_family
from metarl_gan.envs.action_format import DiscreteColumn, HybridActions, action_format
from metarl_gan.envs.single_environment import SingleEnvironment
from metarl_gan.envs.stepping.single import SingleTaskEnv
from metarl_gan.envs.stepping.sync_vector import SyncTaskVectorEnv
from tests.envs.gears import GEARS, KINDS, Gears, gears

SPACES = {
    "tuple": spaces.Tuple([GEARS, spaces.Box(-1, 2, (2,), np.float32), spaces.Discrete(2)]),
    "dict": spaces.Dict({"b": spaces.Box(-1, 1, (2, 1), np.float64), "a": spaces.Discrete(4)}),
    "multi-discrete": spaces.MultiDiscrete([3, 2], start=[-1, 5]),
    "integers": spaces.Tuple([spaces.Box(-3, 3, (1,), np.int32), spaces.MultiDiscrete([2, 3])]),
}


def formatted(space):
    found = action_format(space)
    assert isinstance(found, HybridActions)
    return found


def assert_equal_actions(found, expected):
    assert type(found) is type(expected)
    if isinstance(found, dict):
        assert found.keys() == expected.keys()
        found, expected = (
            [action[name] for name in sorted(action)] for action in (found, expected)
        )
    if isinstance(found, tuple | list):
        for one, other in zip(found, expected, strict=True):
            assert_equal_actions(one, other)
    else:
        np.testing.assert_array_equal(found, expected)


def test_columns_by_hand():
    actions = formatted(SPACES["tuple"])
    row = actions.pack((np.int64(3), np.array([0.5, -0.25], np.float32), np.int64(1)))
    assert row.tolist() == [3.0, 0.5, -0.25, 1.0]
    assert row.dtype == np.float32
    assert (actions.continuous, actions.shape) == ((1, 2), (4,))
    assert actions.discrete == (
        DiscreteColumn(column=0, start=1, n=3),
        DiscreteColumn(column=3, start=0, n=2),
    )
    assert (actions.low.tolist(), actions.high.tolist()) == ([1, -1, -1, 0], [3, 2, 2, 1])
    assert actions.blank.tolist() == [1, 0, 0, 0]
    assert_equal_actions(
        actions.unpack(row), (np.int64(3), np.array([0.5, -0.25], np.float32), np.int64(1))
    )


def test_columns_of_a_dictionary_are_in_the_order_of_its_names():
    actions = formatted(SPACES["dict"])
    packed = actions.pack({"b": np.array([[0.1], [0.2]]), "a": np.int64(3)})
    assert packed.tolist() == [3.0, 0.1, 0.2]  # float64, or they would not be these
    other_way = spaces.Dict([("b", SPACES["dict"]["b"]), ("a", SPACES["dict"]["a"])])
    assert formatted(other_way).pack({"b": np.zeros((2, 1)), "a": 2}).tolist() == [2, 0, 0]


@pytest.mark.parametrize("name", SPACES)
def test_what_is_packed_comes_back(name):
    space = SPACES[name]
    space.seed(0)
    actions = formatted(space)
    singles = [space.sample() for _ in range(20)]
    rows = actions.pack(singles)
    assert rows.shape == (20, *actions.shape)
    assert rows.dtype == actions.dtype
    for row, single in zip(actions.clip(rows), singles, strict=True):
        back = actions.unpack(row)
        assert space.contains(back)
        assert_equal_actions(back, single)
    assert all(map(space.contains, actions.unpack_all(rows)))


@pytest.mark.parametrize("name", SPACES)
def test_a_batch_as_gymnasiums_vector_environments_take_it(name):
    batch, actions = batch_space(SPACES[name], 5), formatted(SPACES[name])
    batch.seed(0)
    drawn = batch.sample()
    rows = actions.pack(drawn)
    assert rows.shape == (5, *actions.shape)
    if name == "tuple":
        assert (rows[:, 0] == drawn[0]).all()
        assert (rows[:, 1:3] == drawn[1]).all()
        assert (rows[:, 3] == drawn[2]).all()


def test_only_what_is_continuous_is_clipped():
    actions = formatted(SPACES["tuple"])
    clipped = actions.clip(np.array([[3, 7.0, -7.0, 1], [1, 0.5, 0.5, 0]], np.float64))
    assert clipped.tolist() == [[3, 2, -1, 1], [1, 0.5, 0.5, 0]]
    assert clipped.dtype == np.float32


@pytest.mark.parametrize("wrong", [0, 4, 1.5, np.nan, np.inf])
def test_choices_that_there_are_not_are_refused(wrong):
    actions = formatted(SPACES["tuple"])
    with pytest.raises(ValueError, match=r"not all in Tuple.* whole numbers from \[1.0, 0.0\]"):
        actions.clip(np.array([[1, 0, 0, 0], [wrong, 0, 0, 0]], np.float32))
    with pytest.raises(ValueError, match="not all in"):
        actions.clip(np.array([wrong, 0, 0, 0], np.float32))


@pytest.mark.parametrize("wrong", [(1,), 3, {"gear": 1}, (1, np.zeros(2), 1, 0)])
def test_actions_of_another_structure_are_refused(wrong):
    with pytest.raises(ValueError, match="is not of Tuple"):
        formatted(SPACES["tuple"]).pack(wrong)


def test_other_spaces_without_a_shape_are_refused():
    with pytest.raises(FamilyError, match="its part Text"):
        action_format(spaces.Tuple([spaces.Text(3)]))


def test_a_family_of_such_actions_passes_the_check():
    report = check_family(gears("dict"))
    assert report.warnings == ()
    assert set(report.parameter_effects) == {"gear", "power"}


@pytest.mark.parametrize("backend", ["sync", "async"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_backend_gives_environments_what_their_space_contains(kind, backend):
    """`Gears` refuses anything else."""
    family = gears(kind)
    tasks, space = family.sample(2, seed=0), family.action_space
    space.seed(0)
    with closing(family.make_vec(tasks, 2, backend=backend, processes=1)) as venv:
        singles = [family.make(task) for task in tasks for _ in range(2)]
        starts, _ = venv.reset(seed=3)
        for row, env in enumerate(singles):
            np.testing.assert_array_equal(env.reset(seed=3 + row)[0], starts[row])
        for _ in range(4):
            drawn = [space.sample() for _ in singles]
            observations, rewards, _, _, info = venv.step(venv.action_format.pack(drawn))
            assert "failures" not in info
            for row, (env, action) in enumerate(zip(singles, drawn, strict=True)):
                observation, reward, *_ = env.step(action)
                np.testing.assert_array_equal(observation, observations[row])
                assert rewards[row] == np.float32(reward)


def test_a_vector_environment_takes_its_own_samples_and_lists_of_actions():
    family = gears("dict")
    with closing(family.make_vec(family.sample(3, seed=0))) as venv:
        reached = []
        venv.action_space.seed(0)
        batch = venv.action_space.sample()
        listed = [{name: part[row] for name, part in batch.items()} for row in range(3)]
        for actions in (batch, listed):
            venv.reset(seed=0)
            reached.append(venv.step(actions)[0])
        np.testing.assert_array_equal(reached[0], reached[1])
        with pytest.raises(ValueError, match=r"shape \(2, 3\); expected \(3, 3\)"):
            venv.step(np.ones((2, 3)))


def test_thrust_by_hand():
    family = gears()
    env = family.make(family.task(gear=2, power=0.25))
    start, _ = env.reset(seed=0)
    for gear, thrust, expected in ((2, 0.5, 0.125), (1, 1.0, 0.125), (2, 9.0, 0.375)):
        observation, *_ = env.step((gear, np.array([thrust], np.float32)))
        assert observation[0] == pytest.approx(start[0] + expected)
    with pytest.raises(ValueError, match="not all in Tuple"):
        env.step((4, np.zeros(1, np.float32)))


def test_an_environment_that_somebody_made():
    env = gymnasium.wrappers.TimeLimit(Gears(), 8)
    family = SingleEnvironment(env, 8)
    venv = SyncTaskVectorEnv(family, family.sample(1, seed=0))
    start, _ = venv.reset(seed=0)
    reached, *_ = venv.step(np.array([[1.0, 0.5]], np.float32))
    assert reached[0, 0] == pytest.approx(start[0, 0] + 0.15)


def test_one_row_as_a_plain_environment_packs_its_action():
    family = gears()
    [task] = family.sample(1, seed=0)
    env = SingleTaskEnv(family.make_vec([task], backend="sync"))
    alone = family.make(task)
    action = (np.int64(task.parameters["gear"]), np.array([1.0], np.float32))
    for played in (env, alone):
        played.reset(seed=5)
    np.testing.assert_array_equal(env.step(action)[0], alone.step(action)[0])
