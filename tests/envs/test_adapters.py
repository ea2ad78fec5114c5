import copy
import random
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from metarl_gan.envs import FamilyError, Task, TaskFamily, adapt_family, check_family, make_family
from tests.envs import foreign

SOURCES = [foreign.Garage, foreign.Learn2Learn, foreign.Pearl, foreign.Varibad]


def made(family: TaskFamily, task: Task) -> Any:
    """An environment, of whatever class."""
    return family.make(task)


def goal_of(family: TaskFamily, task: Task) -> float:
    return made(family, task).unwrapped.goal


def goals_of(family: TaskFamily, split: str = "train", n: int = 500) -> list[float]:
    tasks = dict.fromkeys(family.sample(n, split=split, seed=0))
    return [goal_of(family, task) for task in tasks]


@pytest.mark.parametrize("source", SOURCES)
def test_each_interface_is_known_by_its_methods(source):
    family = adapt_family(source)
    assert family.name == source.__name__
    assert family.horizon == (9 if source is foreign.Pearl else 12)
    assert family.splits == ("train", "test")
    train, test = goals_of(family), goals_of(family, "test")
    n = 30 if source is foreign.Pearl else 100
    assert (len(train), len(test)) == (n - n // 5, n // 5)
    assert len({*train, *test}) == n
    assert np.abs(train).max() > 1.5


@pytest.mark.parametrize("source", [foreign.Pearl, foreign.Varibad])
def test_adapted_families_pass_the_check(source):
    check_family(adapt_family(source))


@pytest.mark.parametrize("source", SOURCES)
def test_every_process_has_the_same_tasks_whatever_was_drawn_before(source):
    np.random.seed(1)  # noqa: NPY002
    first = goals_of(adapt_family(source))
    np.random.seed(2)  # noqa: NPY002
    random.seed(2)
    before = np.random.get_state()[1].copy(), random.getstate()  # type: ignore[index] # noqa: NPY002
    family = adapt_family(source)
    [task] = family.sample(1, seed=0)
    env = made(family, task)
    after = np.random.get_state()[1].copy(), random.getstate()  # type: ignore[index] # noqa: NPY002
    assert goals_of(family) == first
    assert goals_of(copy.deepcopy(family)) == first
    assert np.array_equal(before[0], after[0])
    assert before[1] == after[1]
    assert goals_of(adapt_family(source, seed=1)) != first
    env.reset()
    env.reset(seed=3)
    assert env.unwrapped.goal == goals_of(family)[0]


@pytest.mark.parametrize("source", SOURCES)
def test_a_task_is_replaced_in_place(source):
    family = adapt_family(source)
    one, other = family.sample(2, seed=0)
    env, fresh = made(family, one), made(family, other)
    assert family.retask(env, other)
    assert env.task == other
    assert env.unwrapped.goal == fresh.unwrapped.goal != goal_of(family, one)
    traces = []
    for played in (env, fresh):
        first, _ = played.reset(seed=5)
        traces.append([first, *played.step(np.array([0.5]))[:2]])
    assert traces[0] == traces[1]


def test_numbers_of_a_task_are_its_descriptor():
    family = adapt_family(foreign.Garage)
    tasks = family.sample(80, seed=0)
    described = np.array([task.descriptor for task in tasks])
    goals = np.array([goal_of(family, task) for task in tasks])
    assert described.shape == (80, 2)  # goal and kind, by name
    assert described[:, 0].min() == -1
    assert described[:, 0].max() == 1
    assert np.corrcoef(described[:, 0], goals)[0, 1] == pytest.approx(1)
    assert not described[:, 1].any()  # the same in all tasks
    pearl = adapt_family(foreign.Pearl)
    [task] = pearl.sample(1, seed=0)
    others = [goal_of(pearl, other) for other in pearl.sample(24, seed=0)]
    goal = goal_of(pearl, task)
    place = 2 * (goal - min(others)) / (max(others) - min(others)) - 1
    assert task.descriptor.tolist() == pytest.approx([place], abs=1e-6)


def test_other_tasks_are_described_by_their_place():
    family = adapt_family(foreign.Named)
    assert family.task(task=0).descriptor.tolist() == [-1.0]
    assert family.task(task=79).descriptor.tolist() == [1.0]


def test_a_given_split_is_kept():
    family = adapt_family(partial(foreign.Pearl, n_tasks=13), name="pearl", train=8, test=3)
    assert [family.parameters["task"].low, family.parameters["task"].high] == [0, 7]
    tasks = family.sample(50, split="test", seed=0)
    assert {task.parameters["task"] for task in tasks} == {10, 11, 12}  # the last ones
    rest = adapt_family(foreign.Garage, train=70)
    assert {task.parameters["task"] for task in rest.sample(99, split="test", seed=0)} == {
        *range(70, 100)
    }
    assert adapt_family(foreign.Garage, train=100).splits == ("train",)
    assert len(goals_of(adapt_family(foreign.Garage, train=200, test=50))) == 200


def test_equal_tasks_count_once_so_that_splits_do_not_overlap():
    family = adapt_family(foreign.Direction)
    assert family.splits == ("train",)
    assert sorted(goals_of(family)) == [-5.0, 5.0]
    parted = adapt_family(foreign.Direction, train=1, test=1)
    assert goals_of(parted) != goals_of(parted, "test")
    with pytest.raises(FamilyError, match="2 distinct tasks; asked for 3"):
        adapt_family(foreign.Direction, train=3)


def test_environments_and_functions_serve_as_classes_do():
    given = foreign.Garage()
    given.x = 7.0
    by_copy = adapt_family(given)
    env = made(by_copy, by_copy.sample(1, seed=0)[0])
    assert env.unwrapped is not given
    assert env.unwrapped is not made(by_copy, by_copy.sample(1, seed=0)[0]).unwrapped
    by_function = adapt_family(lambda: foreign.Layered(foreign.Garage()), name="a/b")
    assert by_function.name == "a-b"
    expected = goals_of(adapt_family(foreign.Garage))
    assert goals_of(by_copy) == goals_of(by_function) == expected
    one, other = by_function.sample(2, seed=0)
    env = made(by_function, one)
    by_function.retask(env, other)
    assert env.unwrapped.goal == goal_of(by_function, other)


def test_what_cannot_be_copied_is_refused():
    given = foreign.Garage()
    given.stream = (number for number in range(3))  # type: ignore[attr-defined]
    with pytest.raises(FamilyError, match=r"cannot be copied .*give its class"):
        adapt_family(given)


def test_make_family_takes_them_too(monkeypatch):
    expected = goals_of(adapt_family(foreign.Garage))
    for source in (
        foreign.Garage,
        foreign.Garage(),
        "tests.envs.foreign:Garage",
        partial(foreign.Garage, render_mode=None),
    ):
        assert goals_of(make_family(source)) == expected
    assert make_family(foreign.Garage, horizon=5, train=10).horizon == 5
    assert len(goals_of(make_family("tests.envs.foreign:Garage", train=10, test=5))) == 10


def test_a_wrapper_goes_around_each_environment():
    def doubled(env):
        space = spaces.Box(-np.inf, np.inf, (2,))
        return gymnasium.wrappers.TransformObservation(env, lambda x: np.repeat(x, 2), space)

    family = adapt_family(foreign.Garage, wrapper=doubled)
    assert family.observation_space.shape == (2,)
    one, other = family.sample(2, seed=0)
    env = made(family, one)
    assert env.reset(seed=0)[0].shape == (2,)
    assert family.retask(env, other)
    assert env.unwrapped.goal == goal_of(family, other)


def test_the_horizon_is_the_environments_own_or_the_one_given():
    env = adapt_family(foreign.Garage, horizon=3)
    played = made(env, env.sample(1, seed=0)[0])
    played.reset(seed=0)
    assert [played.step(np.zeros(1))[3] for _ in range(3)] == [False, False, True]
    limited = adapt_family(lambda: gymnasium.wrappers.TimeLimit(foreign.Garage(), 4))
    assert limited.horizon == 4
    with pytest.raises(FamilyError, match="does not tell its time limit; give horizon="):
        adapt_family(type("Endless", (foreign.Garage,), {"max_path_length": None}))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_environments_that_heed_no_seed_pass_gymnasiums_own_check():
    family = adapt_family(foreign.Deaf)
    env = made(family, family.sample(1, seed=0)[0])
    env.reset(seed=3)
    assert env.unwrapped.np_random.random() == np.random.default_rng(3).random()
    check_env(env, skip_render_check=True)


def test_the_check_finds_a_reset_that_draws_a_task():
    with pytest.raises(FamilyError, match="task"):
        check_family(adapt_family(foreign.Resampling))


def needing_more(colour):
    return foreign.Garage()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (foreign.OldGym, r"OldGym is .* of the old package gym.*GymV21.*GymV26Compatibility"),
        (foreign.Kin, r"Kin is no gymnasium.Env; derive .*shimmy.GymV21CompatibilityV0\(env=env\)"),
        (foreign.OldStep, r"step\(\) returns 4 values.*shimmy.GymV21"),
        (foreign.OldReset, r"reset\(\) returns ndarray.*shimmy.GymV21"),
        (foreign.OldSeed, r"reset\(\) takes no seed.*shimmy.GymV21"),
        (
            foreign.Line,
            r"none of the task interfaces.*sample_tasks\(\) and set_task\(\).*Parametric",
        ),
        (foreign.Unseeded, "two environments draw different tasks under one seed"),
        (foreign.PickyConstructor, "an environment cannot be made: OSError: no licence"),
        (needing_more, "cannot be made: TypeError.*colour"),
        (lambda: 3, "int is no gymnasium.Env"),
    ],
)
def test_what_cannot_be_adapted_is_refused_with_the_way_out(source, message):
    with pytest.raises(FamilyError, match=message):
        adapt_family(source)


def test_a_task_that_is_not_there_is_refused():
    with pytest.raises(FamilyError, match="there is no task 300"):
        adapt_family(foreign.Garage).task(task=300)
    family = adapt_family(foreign.Named)
    with pytest.raises(FamilyError, match="Named has no task 300"):
        family.make(family.task(task=300))
