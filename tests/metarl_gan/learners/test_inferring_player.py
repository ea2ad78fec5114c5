"""Who finds out within the first episode which task it is."""

import numpy as np
import pytest
import torch

from metarl_gan.agents.collector import play
from metarl_gan.agents.environment_pool import EnvironmentPool
from metarl_gan.agents.player import PolicyPlayer
from metarl_gan.gan import TaskContext
from metarl_gan.learners.inferring_player import InferringPlayer
from metarl_gan.trainer import Trainer
from tests.agents.toys import stream
from tests.metarl_gan import tiny
from tests.metarl_gan.learners.test_context_sac import SAC

EVERY = 3


@pytest.fixture(scope="module")
def trained():
    family = tiny.walk()
    components = tiny.tiny_components(family, **SAC, **{"sac.infer_every_steps": EVERY})
    trainer = Trainer(components, family)
    for _ in range(3):
        trainer.meta_iteration()
    trainer.close()
    return components, family


def played_with(components, family, monkeypatch, encodings):
    """An episode each of 2 tasks x 3 environments, and the rows that were taken in each time."""
    taken, take_in = [], components.gan.take_in

    def watched(rows, descriptors=None):
        taken.append(rows)
        context = take_in(rows, descriptors)
        encoding = encodings(len(taken), context.encoding)
        return TaskContext(encoding=encoding, errors=context.errors)

    monkeypatch.setattr(components.gan, "take_in", watched)
    pool = EnvironmentPool(family)
    venv = pool.get(family.sample(2, split="test", seed=0), 3)
    player = components.meta_learner.player(venv, None, stream(), deterministic=True)
    assert isinstance(player, InferringPlayer)
    collection = play(venv, player, seed=1)
    pool.close()
    return collection.batch, taken


def test_every_so_many_steps_each_environments_own_transitions_are_taken_in(trained, monkeypatch):
    components, family = trained
    batch, taken = played_with(components, family, monkeypatch, lambda _, found: found)
    least = components.gan.min_context
    times = [time for time in range(1, family.horizon) if time >= least and time % EVERY == 0]
    assert [rows.valid.shape[1] for rows in taken] == times
    own = components.gan.space.rows(batch)
    for time, rows in zip(times, taken, strict=True):
        for name in ("states", "actions", "changes", "rewards"):
            expected = getattr(own, name).flatten(0, 1)[:, :time]
            torch.testing.assert_close(getattr(rows, name), expected)


def test_it_acts_on_what_was_inferred_last(trained, monkeypatch):
    components, family = trained
    learner = components.meta_learner

    def numbered(number, found):
        return torch.full_like(found, float(number))

    batch, taken = played_with(components, family, monkeypatch, numbered)
    actor = learner.initial_policy(6)
    first = taken[0].valid.shape[1]
    for time in range(family.horizon):
        number = 0 if time < first else 1 + (time - first) // EVERY
        if number:
            actor["encoding"] = torch.full_like(actor["encoding"], float(number))
        else:
            priors = learner.initial_policy(2)["encoding"]
            actor["encoding"] = priors.repeat_interleave(3, 0)
        states = batch.observations.flatten(0, 1)[:, time].unsqueeze(1)
        expected = components.policy.mode(actor, states).squeeze(1)
        torch.testing.assert_close(batch.actions.flatten(0, 1)[:, time], expected)


def test_what_is_known_of_a_task_is_not_inferred_again(trained):
    components, family = trained
    learner, pool = components.meta_learner, EnvironmentPool(family)
    venv = pool.get(family.sample(2, split="test", seed=0), 3)
    assert isinstance(learner.player(venv, learner.initial_policy(2), stream()), PolicyPlayer)
    fresh = tiny.tiny_components(family, **SAC, **{"sac.infer_every_steps": EVERY})
    assert isinstance(fresh.meta_learner.player(venv, None, stream()), PolicyPlayer)
    without = tiny.tiny_components(family, **SAC)
    without.restore(components.tensors())
    assert isinstance(without.meta_learner.player(venv, None, stream()), PolicyPlayer)
    pool.close()


def test_evaluation_begins_with_it(trained):
    components, family = trained
    without = tiny.tiny_components(family, **SAC)
    without.restore(components.tensors())
    found, other = (tiny.curve(each, family).returns for each in (components, without))
    assert not np.array_equal(found[:, 0], other[:, 0])


def test_sampled_actions_come_with_their_probability(trained):
    components, family = trained
    pool = EnvironmentPool(family)
    venv = pool.get(family.sample(2, split="test", seed=0), 1)
    player = components.meta_learner.player(venv, None, stream(7))
    batch = play(venv, player, seed=1).batch
    pool.close()
    first = components.policy.log_probs(
        components.meta_learner.initial_policy(2), batch.observations[:, 0], batch.actions[:, 0]
    )[:, 0]
    torch.testing.assert_close(batch.log_probs[:, 0, 0], first, rtol=1e-3, atol=1e-3)
