"""What becomes of training that diverges: taken back, counted, told; and it goes on."""

import math

import pytest
import torch

from metarl_gan.generator_learner import AdversarialLearner
from metarl_gan.streams import Streams
from tests.agents.toys import random_episodes
from tests.metarl_gan.toys import small_config, small_gan, some_tasks

TASKS = some_tasks("a", "b", "c")


def batches(seed=0):
    """Support and query `[3, 2, 8]`."""
    return [random_episodes((3, 2, 8), seed=seed + i) for i in range(2)]


def a_learner(**changes):
    config = small_config(**changes)
    gan = small_gan(config)
    return gan, AdversarialLearner(gan, config, Streams(0))


def copied(tensors):
    return {name: value.clone() for name, value in tensors.items()}


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def discriminator_of(gan):
    assert gan.discriminator is not None
    return gan.discriminator


def poison(part, value=math.nan):
    """Spoil one weight."""
    with torch.no_grad():
        next(part.parameters()).view(-1)[0] = value


SPOILS = {
    "generator is no number": lambda gan: poison(gan.generator),
    "encoder is infinite": lambda gan: poison(gan.encoder, math.inf),
    "generator explodes": lambda gan: poison(gan.generator, 1e12),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_divergence_goes_back_to_the_last_good_average(spoil):
    gan, learner = a_learner()
    good = learner.learn(TASKS, batches())
    assert good["gan_rollbacks"] == 0
    before = copied(gan.state_dict())
    discriminator = copied(discriminator_of(gan).state_dict())
    assert learner._trainer.generator_optimiser.state
    SPOILS[spoil](gan)
    found = learner.learn(TASKS, batches(seed=2))
    assert found == {"gan_updates": 5, "gan_rollbacks": 1}
    # The average is that of before, and the weights are the average; the optimisers are fresh.
    for name, part in (("encoder", gan.encoder), ("generator", gan.generator)):
        average = getattr(gan, f"averaged_{name}").module.state_dict()
        assert_same(part.state_dict(), average)
        prefix = f"averaged_{name}.module."
        assert_same(
            average, {k[len(prefix) :]: v for k, v in before.items() if k.startswith(prefix)}
        )
    assert_same(discriminator_of(gan).state_dict(), discriminator)
    assert all(not optimiser.state for optimiser in learner._trainer.optimisers.values())
    # What was learnt of the data itself stays.
    assert gan.space.state.count > before["space.state.count"]
    later = learner.learn(TASKS, batches(seed=4))
    assert later["gan_rollbacks"] == 1
    assert later["gan_updates"] == 7
    assert all(math.isfinite(value) for value in later.values())
    gan.validation_error.zero_()  # infinite until there is a validation
    assert all(bool(torch.isfinite(value.float()).all()) for value in gan.state_dict().values())


def test_a_discriminator_that_is_no_number_does_not_spoil_the_generator():
    gan, learner = a_learner()
    learner.learn(TASKS, batches())
    average = copied(gan.imagining.state_dict())
    poison(discriminator_of(gan))
    assert learner.learn(TASKS, batches(seed=2))["gan_rollbacks"] == 1
    assert_same(gan.imagining.state_dict(), average)
    assert_same(gan.generator.state_dict(), average)


@pytest.mark.parametrize(
    "settings", [{"learning_rate": 1e6}, {"max_gradient_norm": 1e-9}], ids=lambda s: next(iter(s))
)
def test_what_diverges_from_the_start_stays_as_it_was_made(settings):
    gan, learner = a_learner(adversarial=settings)
    parts = (gan.encoder, gan.generator, discriminator_of(gan))
    fresh = [copied(part.state_dict()) for part in parts]
    for rollbacks, updates in ((1, 3), (2, 5)):
        found = learner.learn(TASKS, batches(seed=rollbacks))
        assert found == {"gan_updates": updates, "gan_rollbacks": rollbacks}
        for part, was in zip(parts, fresh, strict=True):
            assert_same(part.state_dict(), was)
    # Nothing can be imagined with it.
    assert not gan.trained


def test_a_gradient_within_the_limit_is_no_divergence():
    _, watched = a_learner()
    norm = watched.learn(TASKS, batches())["gradient_norm"]
    for limit, rollbacks in ((1.01 * norm, 0), (0.99 * norm, 1)):
        _, learner = a_learner(adversarial={"max_gradient_norm": limit})
        assert learner.learn(TASKS, batches())["gan_rollbacks"] == rollbacks


def test_resuming_after_a_way_back_is_exact():
    gan, learner = a_learner()
    learner.learn(TASKS, batches())
    poison(gan.generator)
    learner.learn(TASKS, batches(seed=2))
    tensors, weights, counters = (
        copied(learner.tensors()),
        copied(gan.state_dict()),
        learner.counters(),
    )
    assert counters["gan_rollbacks"] == 1
    other_gan, other = a_learner()
    other_gan.load_state_dict(weights)
    other.restore(tensors, counters)
    expected = learner.learn(TASKS, batches(seed=4))
    assert other.learn(TASKS, batches(seed=4)) == expected
    assert_same(other_gan.state_dict(), gan.state_dict())
    assert_same(other.tensors(), learner.tensors())
    assert other.counters() == learner.counters()


def test_members_are_compared_before_they_learn_the_episodes(monkeypatch):
    gan, learner = a_learner(generator={"members": 3, "elites": 1})
    calls, train = [], learner._trainer.train
    compare = gan.compare_members
    monkeypatch.setattr(
        gan, "compare_members", lambda *args: calls.append(("compare", args)) or compare(*args)
    )
    monkeypatch.setattr(
        learner._trainer, "train", lambda *args: calls.append(("train", args)) or train(*args)
    )
    learner.learn(TASKS, batches())
    assert [name for name, _ in calls] == ["train"]  # untrained, there is nothing to compare
    later = batches(seed=2)
    learner.learn(TASKS, later)
    assert [name for name, _ in calls] == ["train", "compare", "train"]
    context, held_out, descriptors = calls[1][1]
    assert torch.equal(context.valid, later[0].valid.flatten(1))
    assert torch.equal(held_out.terminated[..., 0] > 0, later[1].terminated.flatten(1))
    assert not torch.equal(context.states, held_out.states)
    assert descriptors is None
    assert (gan.member_errors > 0).all()
