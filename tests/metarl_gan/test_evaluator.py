"""Adaptation curves on held-out tasks."""

import numpy as np
import pytest
import torch

from metarl_gan.agents.collector import AllTasksDroppedError
from metarl_gan.agents.environment_pool import EnvironmentPool
from metarl_gan.evaluator import Evaluator
from metarl_gan.streams import Streams
from tests.metarl_gan import tiny


@pytest.fixture(scope="module")
def components():
    return tiny.trained_components()


def without_generator(components):
    """The same weights beside no GAN at all."""
    bare = tiny.tiny_components(generated=False)
    tensors = components.tensors()
    bare.restore({name: v for name, v in tensors.items() if not name.startswith("gan.")})
    return bare


def with_share(components, share):
    """The same agent with another share of generated data."""
    other = tiny.tiny_components(augmentation__share=share)
    other.restore(components.tensors())
    return other


def test_without_generated_data_it_is_the_agent_without_a_generator(components):
    real_only = tiny.curve(components, generated=False).returns
    assert np.array_equal(real_only, tiny.curve(without_generator(components)).returns)
    assert np.array_equal(real_only, tiny.curve(with_share(components, 0.0)).returns)
    assert not np.array_equal(real_only, tiny.curve(components).returns)


def test_arms_are_paired(components, monkeypatch):
    """The same support, and the same starts of the scored episodes."""
    seen = {True: [], False: []}
    collect = Evaluator._play

    for generated, plays in seen.items():

        def recorded(*args, plays=plays, **settings):
            collection = collect(*args, **settings)
            plays.append(collection.batch)
            return collection

        monkeypatch.setattr(Evaluator, "_play", recorded)
        tiny.curve(components, generated=generated)
    (first, support, *scored), (other_first, other_support, *other_scored) = seen.values()
    assert torch.equal(first.rewards, other_first.rewards)
    assert torch.equal(support.observations, other_support.observations)
    assert torch.equal(support.actions, other_support.actions)
    assert len(scored) == len(other_scored) == 2
    for ours, theirs in zip(scored, other_scored, strict=True):
        starts = ours.observations[:, :, 0]
        assert torch.equal(starts, theirs.observations[:, :, 0])
        assert torch.equal(starts, first.observations[:, :, 0])


def test_support_is_of_the_initial_policy_and_nested(components):
    """One episode more is the same episodes and one more: curves differ by data alone."""
    one, two = (tiny.curve(components, generated=False, episodes=n) for n in (1, 2))
    assert one.returns.shape == (4, 2)
    assert two.returns.shape == (4, 3)
    assert np.array_equal(one.returns[:, 0], two.returns[:, 0])


def test_no_episode_costs_no_support(components):
    found = tiny.curve(components, episodes=0)
    assert found.returns.shape == (4, 1)
    assert found.real_steps <= 4 * 2 * tiny.HORIZON


def test_it_changes_nothing_of_the_agent(components):
    before = {name: value.clone() for name, value in components.tensors().items()}
    first = tiny.curve(components).returns
    tiny.assert_same_tensors(components.tensors(), before)
    assert np.array_equal(tiny.curve(components).returns, first)


def test_real_steps_are_those_of_the_environments(components, monkeypatch):
    monkeypatch.setattr(tiny.Walk, "total_steps", 0)
    assert tiny.curve(components).real_steps == tiny.Walk.total_steps


def test_a_simulator_is_evaluated_beside_its_real_steps(monkeypatch):
    """Its own steps are no real ones, and the returns before adaptation are everyone's."""
    simulating = tiny.tiny_components(generator__kind="simulator")
    bare = tiny.tiny_components(generated=False)
    expected = tiny.curve(bare)
    monkeypatch.setattr(tiny.Walk, "total_steps", 0)
    found = tiny.curve(simulating)
    assert tiny.Walk.total_steps > found.real_steps
    assert np.array_equal(found.returns[:, 0], expected.returns[:, 0])
    assert not np.array_equal(found.returns[:, 1:], expected.returns[:, 1:])
    real_only = tiny.curve(simulating, generated=False)
    assert np.array_equal(real_only.returns, expected.returns)
    assert real_only.real_steps == expected.real_steps


@pytest.mark.parametrize(
    "changes",
    [
        {"generator__kind": "ensemble", "generator__members": 3, "generator__elites": 2},
        {"generator__kind": "diffusion", "generator__diffusion_steps": 2},
        {"generator__adaptation": "maml"},
        {"generator__adaptation": "reptile", "generator__members": 2},
        {"encoder__descriptor": True, "encoder__posterior": True},
        {"augmentation__rejection": True, "discriminator__window_steps": 2},
    ],
)
def test_every_generator_is_evaluated(changes):
    trained = tiny.trained_components(**changes)
    first, again = (tiny.curve(trained).returns for _ in range(2))
    assert np.isfinite(first).all()
    assert np.array_equal(first, again)
    assert not np.array_equal(first, tiny.curve(trained, generated=False).returns)


def test_sampled_actions_when_not_deterministic(components):
    family = tiny.walk()
    tasks, pool = family.sample(3, split="test", seed=0), EnvironmentPool(family)
    curves = [
        Evaluator(
            components, pool, Streams(0), deterministic=deterministic, scored_episodes=1
        ).adaptation_curve(tasks, 0)
        for deterministic in (True, False)
    ]
    pool.close()
    assert not np.array_equal(curves[0].returns, curves[1].returns)


def test_broken_tasks_leave_the_others_as_they_are(components):
    family = tiny.faulty()
    healthy = [family.task(goal=goal, fault=0) for goal in (-0.5, 0.5)]
    broken = family.task(goal=0.0, fault=1)
    pool = EnvironmentPool(family)
    evaluator = Evaluator(components, pool, Streams(0), scored_episodes=2)
    found = evaluator.adaptation_curve([healthy[0], broken, healthy[1]], 1)
    assert list(found.tasks) == healthy
    assert found.returns.shape == (2, 2)
    (dropped,) = found.dropped
    assert dropped.task_id == broken.id
    assert "step 2 returned reward nan" in dropped.reason
    with pytest.raises(AllTasksDroppedError, match="fault=1"):
        evaluator.adaptation_curve([broken], 1)
    pool.close()


class BreaksWhenAsked(tiny.Walk):
    """Breaks in its second episode: healthy when first scored, broken in support."""

    episodes = 0

    def reset(self, *, seed=None, options=None):
        type(self).episodes += 1
        self.fault = 1 if type(self).episodes == 3 else 0
        return super().reset(seed=seed, options=options)


def test_a_task_that_breaks_later_is_dropped_from_all_columns(components):
    family = tiny.ParametricFamily(
        BreaksWhenAsked, {"goal": tiny.Uniform(-1.0, 1.0)}, horizon=6, name="breaks"
    )
    BreaksWhenAsked.episodes = 0
    pool = EnvironmentPool(family)
    evaluator = Evaluator(components, pool, Streams(0), scored_episodes=1)
    tasks = family.sample(2, split="test", seed=0)
    found = evaluator.adaptation_curve(tasks, 1)  # resets: scored 1, 2; support 3, 4
    assert list(found.tasks) == tasks[1:]
    assert found.returns.shape == (1, 2)
    assert [dropped.task_id for dropped in found.dropped] == [tasks[0].id]
    pool.close()


class Achiever(tiny.Walk):
    """Is solved while it is near its goal."""

    def step(self, action):
        observation, reward, terminated, truncated, _ = super().step(action)
        return observation, reward, terminated, truncated, {"success": abs(reward) < 0.1}


def test_success_rates_are_shares_of_scored_episodes(components, monkeypatch):
    batches = {}
    play = Evaluator._play

    def recorded(self, tasks, parameters, n_episodes, name, **settings):
        collection = play(self, tasks, parameters, n_episodes, name, **settings)
        batches.setdefault(name, []).append(collection.batch)
        return collection

    monkeypatch.setattr(Evaluator, "_play", recorded)
    family = tiny.ParametricFamily(
        Achiever, {"goal": tiny.Uniform(-1.0, 1.0)}, horizon=tiny.HORIZON, name="walk"
    )
    found = tiny.curve(components, family, n_tasks=12)
    near = [((batch.rewards.abs() < 0.1) & batch.valid).any(-1) for batch in batches["scored"]]
    expected = torch.stack([episodes.double().mean(-1) for episodes in near], dim=-1)
    assert found.successes is not None
    assert found.successes.tolist() == expected.tolist()
    assert set(found.successes.ravel()) >= {0.0, 0.5}
    assert tiny.curve(components).successes is None
