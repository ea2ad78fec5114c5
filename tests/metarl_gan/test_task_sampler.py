"""Which tasks are trained on: never those kept for validation, never those of other splits."""

from collections import Counter

import pytest

from metarl_gan.config import SamplerConfig
from metarl_gan.envs import Choice, ParametricFamily
from metarl_gan.streams import Streams
from metarl_gan.task_sampler import TaskSampler
from tests.metarl_gan import tiny


def few(n, **settings):
    """A family of `n` tasks in all."""
    goals = [goal / n for goal in range(n)]
    return ParametricFamily(tiny.Walk, {"goal": Choice(goals)}, horizon=4, name="few", **settings)


def sampler(family=None, *, seed=0, **settings):
    config = SamplerConfig(**{"tasks_per_batch": 6, "validation_tasks": 4, **settings})
    return TaskSampler(family or tiny.walk(), config, Streams(seed))


def ids(tasks):
    return [task.id for task in tasks]


@pytest.mark.parametrize("train_tasks", [0, 5])
def test_seed_and_iteration_decide_the_batch(train_tasks):
    first, again, other = (sampler(seed=s, train_tasks=train_tasks) for s in (0, 0, 1))
    # In whatever order they are asked for: resuming asks for late ones only.
    assert ids(first.sample(3)) == ids(again.sample(3))
    assert ids(again.sample(0)) == ids(first.sample(0)) != ids(first.sample(3))
    assert ids(other.sample(0)) != ids(first.sample(0))
    assert ids(other.validation_tasks) != ids(first.validation_tasks)
    assert ids(again.validation_tasks) == ids(first.validation_tasks)


def test_fresh_tasks_for_every_batch():
    batches = [ids(sampler().sample(iteration)) for iteration in range(5)]
    assert all(len(batch) == 6 for batch in batches)
    assert len({task for batch in batches for task in batch}) == 30


@pytest.mark.parametrize(("n_train", "n_batch"), [(5, 3), (7, 6), (3, 8), (4, 4), (5, 1)])
def test_a_fixed_set_is_gone_through_in_shuffled_rounds(n_train, n_batch):
    made = sampler(train_tasks=n_train, tasks_per_batch=n_batch)
    batches = [ids(made.sample(iteration)) for iteration in range(3 * n_train)]
    assert all(len(batch) == n_batch for batch in batches)
    stream = [task for batch in batches for task in batch]
    rounds = [tuple(stream[i : i + n_train]) for i in range(0, len(stream), n_train)]
    # Each round has every task once, and they are in different orders.
    assert all(len(set(each)) == n_train for each in rounds)
    assert len({frozenset(each) for each in rounds}) == 1
    assert len(set(rounds)) > 1


@pytest.mark.parametrize("train_tasks", [0, 6])
def test_validation_and_test_tasks_are_never_trained_on(train_tasks):
    # Few enough tasks that they would meet by chance.
    family = few(25)
    made = sampler(family, train_tasks=train_tasks, tasks_per_batch=5)
    trained = Counter(task for i in range(60) for task in ids(made.sample(i)))
    held_out = set(ids(made.validation_tasks))
    train_split = set(ids(family.sample(500, split="train", seed=9)))
    test_split = set(ids(family.sample(500, split="test", seed=9)))
    assert test_split
    assert held_out <= train_split
    assert not set(trained) & (held_out | test_split)
    if train_tasks:
        assert len(trained) <= train_tasks
    else:
        assert set(trained) == train_split - held_out


def test_a_family_too_small_to_keep_any_apart_is_trained_on_whole():
    family = few(2, splits=("train",))
    made = sampler(family, validation_tasks=4)
    assert set(ids(made.sample(0))) == set(ids(made.validation_tasks))
    assert len(made.sample(0)) == 6


def test_the_number_of_validation_tasks():
    assert [len(sampler(validation_tasks=n).validation_tasks) for n in (1, 7)] == [1, 7]
