import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarl_gan.envs import Choice, FamilyError, Task, TaskSpace, Uniform

PLANE = TaskSpace(parameters={"x": Uniform(-0.5, 0.5), "y": Uniform(-0.5, 0.5)})
GRID = TaskSpace(parameters={"mass": Choice([1, 2, 3, 4]), "ground": Choice(["ice", "mud", "tar"])})


def ids(space, n, split, seed):
    return {space.task("f", draw).id for draw in space.sample(n, split=split, seed=seed)}


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_splits_of_one_continuous_range_never_overlap(seed, other_seed):
    assert not ids(PLANE, 60, "train", seed) & ids(PLANE, 60, "test", other_seed)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 20))
def test_same_arguments_give_the_same_tasks_and_more_begin_with_fewer(seed, n):
    draws = PLANE.sample(n, split="test", seed=seed)
    assert draws == PLANE.sample(n, split="test", seed=seed)
    assert draws == PLANE.sample(30, split="test", seed=seed)[:n]
    assert draws != PLANE.sample(n, split="test", seed=seed + 1)


def test_one_in_five_of_all_draws_is_a_test_task():
    rng = np.random.default_rng(0)
    draws = [
        {name: range_.sample(rng) for name, range_ in PLANE.parameters.items()} for _ in range(4000)
    ]
    share = np.mean([PLANE.split_of(draw) == "test" for draw in draws])
    assert abs(share - 0.2) < 0.025
    # … and both splits cover the whole range.
    for split in ("train", "test"):
        x = [float(draw["x"]) for draw in PLANE.sample(500, split=split, seed=1)]
        assert min(x) < -0.48
        assert max(x) > 0.48


def test_finite_spaces_divide_their_choices_and_deal_them_like_a_deck():
    train, test = (GRID.sample(200, split=split, seed=0) for split in ("train", "test"))
    train_ids, test_ids = ids(GRID, 200, "train", 0), ids(GRID, 200, "test", 0)
    assert len(train_ids) == 10  # twelve in all, a fifth rounded down for test
    assert len(test_ids) == 2
    assert not train_ids & test_ids
    assert len({str(draw) for draw in train[:10]}) == 10
    assert len({str(draw) for draw in test[:2]}) == 2


def test_two_tasks_are_one_train_and_one_test_task_unless_told_otherwise():
    both = {"direction": Choice([-1, 1])}
    space = TaskSpace(parameters=both)
    [train], [test] = (space.sample(1, split=split, seed=0) for split in ("train", "test"))
    assert {train["direction"], test["direction"]} == {-1, 1}
    only = TaskSpace(parameters=both, splits=("train",))
    assert {draw["direction"] for draw in only.sample(2, split="train", seed=5)} == {-1, 1}
    with pytest.raises(FamilyError, match="use split='train'"):
        only.sample(1, split="test", seed=0)


def test_a_single_task_is_a_train_task():
    space = TaskSpace(parameters={"environment": Choice(["given"])})
    assert space.splits == ("train",)
    assert space.sample(2, split="train", seed=0) == [{"environment": "given"}] * 2


def test_ranges_of_their_own_never_reach_into_another_split():
    space = TaskSpace(
        parameters={"v": Uniform(0.0, 2.0)},
        overrides={"test": {"v": Uniform(1.0, 3.0)}, "ood": {"v": Uniform(0.0, 4.0)}},
    )
    assert space.splits == ("train", "test", "ood")
    drawn = {s: [float(d["v"]) for d in space.sample(400, split=s, seed=0)] for s in space.splits}
    assert all(value <= 2 for value in drawn["train"])
    assert any(value > 1 for value in drawn["train"])
    assert any(value > 2 for value in drawn["test"])
    assert any(value < 2 for value in drawn["test"])
    assert all(value > 3 for value in drawn["ood"])
    assert not set(drawn["train"]) & set(drawn["test"])
    assert space.split_of({"v": 9.0}) is None


def test_the_split_does_not_depend_on_the_process():
    code = (
        "from metarl_gan.envs import make_family\n"
        "print([task.id for task in make_family('point-goal').sample(5, split='test', seed=3)])"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(runs) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parameters": {}}, "at least one parameter"),
        ({"parameters": {"x": 3.0}}, "give a Distribution"),
        (
            {"parameters": {"x": Choice([1])}, "splits": ("train", "test")},
            "no task that is not in another split",
        ),
        ({"parameters": {"x": Uniform(0.0, 1.0)}, "splits": ("train", "dev")}, "'dev'"),
        ({"parameters": {"x": Uniform(0.0, 1.0)}, "splits": ("test",)}, "at least 'train'"),
        (
            {"parameters": {"x": Uniform(0.0, 1.0)}, "overrides": {"ood": {"z": Choice([1])}}},
            "unknown parameter",
        ),
        (
            {
                "parameters": {"x": Uniform(0.0, 1.0)},
                "overrides": {"ood": {"x": Uniform(0.2, 0.8)}},
            },
            "'ood' has no task",
        ),
    ],
)
def test_spaces_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(FamilyError, match=message):
        TaskSpace(**arguments)


def test_asking_for_nonsense_is_refused():
    with pytest.raises(FamilyError, match="0 tasks"):
        PLANE.sample(0, split="train", seed=0)
    with pytest.raises(FamilyError, match="seed -1"):
        PLANE.sample(1, split="train", seed=-1)
    with pytest.raises(FamilyError, match=r"'dev'.*'train', 'test'"):
        PLANE.sample(1, split="dev", seed=0)
    with pytest.raises(FamilyError, match="missing"):
        PLANE.task("f", {"x": 0.1})
    with pytest.raises(FamilyError, match="unknown parameter"):
        PLANE.task("f", {"x": 0.1, "y": 0.2, "z": 0.3})


def test_task_ids_are_readable_and_equal_only_for_equal_parameters():
    task = PLANE.task("point-goal", {"y": -0.2, "x": 0.1234})
    assert task.id == "point-goal/x=0.1234,y=-0.2"
    assert task == PLANE.task("point-goal", {"x": 0.1234, "y": -0.2})
    assert task != PLANE.task("point-goal", {"x": 0.12340000000000001, "y": -0.2 + 1e-16 * 3})
    assert task != PLANE.task("other", {"x": 0.1234, "y": -0.2})
    assert GRID.task("g", {"mass": 1, "ground": "ice"}).id == "g/mass=1,ground=ice"
    assert GRID.task("g", {"mass": 1.0, "ground": "ice"}).id == "g/mass=1,ground=ice"
    assert PLANE.task("f", {"x": -0.0, "y": 0.0}) == PLANE.task("f", {"x": 0, "y": 0})


def test_descriptors_are_the_normalised_parameters():
    task = PLANE.task("f", {"x": 0.25, "y": -0.5})
    np.testing.assert_array_equal(task.descriptor, np.array([0.5, -1.0], np.float32))
    assert task.descriptor.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        task.descriptor[0] = 3.0


def test_tasks_survive_pickling():
    task = PLANE.task("f", {"x": 0.25, "y": -0.5})
    copy = pickle.loads(pickle.dumps(task))  # noqa: S301 - what workers do
    assert copy == task
    assert hash(copy) == hash(task)
    np.testing.assert_array_equal(copy.descriptor, task.descriptor)


def test_a_descriptor_must_be_a_finite_vector():
    for descriptor in (np.zeros((2, 2)), np.array([np.nan])):
        with pytest.raises(FamilyError, match="vector of finite numbers"):
            Task(family="f", parameters={}, id="f/", descriptor=descriptor)
