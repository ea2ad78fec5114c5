"""Gradient fidelity: 1 for the truth itself, by source and task by task."""

import numpy as np
import pytest
import torch

from metarl_gan import gradient_fidelity
from metarl_gan.gradient_cosines import others_cosines, own_cosines
from metarl_gan.gradient_fidelity import FidelityMeter
from metarl_gan.streams import Streams
from metarl_gan.transition_meter import transition_fidelity
from tests.metarl_gan import tiny


@pytest.fixture(scope="module")
def components():
    return tiny.trained_components()


@pytest.fixture(autouse=True)
def small_reference(monkeypatch):
    monkeypatch.setattr(gradient_fidelity, "REFERENCE_CHUNKS", 3)
    monkeypatch.setattr(gradient_fidelity, "EPISODES_PER_CHUNK", 4)
    monkeypatch.setattr(gradient_fidelity, "MANY_EPISODES", 3)


def measure(components, family=None, tasks=None, episodes=1, seed=0):
    family = family or tiny.walk()
    tasks = tasks or family.sample(4, split="test", seed=2)
    return FidelityMeter(components, family, Streams(seed)).measure(tasks, episodes)


def test_sources_tasks_and_costs(components, monkeypatch):
    monkeypatch.setattr(tiny.Walk, "total_steps", 0)
    found = measure(components, episodes=2)
    imagined, real = ("generated", "mixed", "shuffled_context"), ("real", "real_20", "other_task")
    for cosines in (found.cosines, found.task_specific):
        assert set(cosines) == {*imagined, *real}
        assert all(value.shape == (4,) for value in cosines.values())
        assert all((np.abs(value) <= 1.0 + 1e-6).all() for value in cosines.values())
    assert found.real_steps == tiny.Walk.total_steps
    assert found.share.tolist() == [0.5] * 4


def test_it_is_deterministic_and_changes_nothing(components):
    before = {name: value.clone() for name, value in components.tensors().items()}
    first, again, other = (measure(components, seed=seed) for seed in (0, 0, 1))
    for name, value in first.cosines.items():
        assert np.array_equal(value, again.cosines[name])
    assert not np.array_equal(first.cosines["real"], other.cosines["real"])
    tiny.assert_same_tensors(components.tensors(), before)


def test_many_real_episodes_point_where_the_true_gradient_does(components, monkeypatch):
    """Both are estimates of the same gradient, from different episodes."""
    monkeypatch.setattr(gradient_fidelity, "EPISODES_PER_CHUNK", 120)
    few, many = (measure(components, episodes=n).cosines["real"].mean() for n in (1, 360))
    assert many > 0.85
    assert few < many


def test_what_the_learner_has_drifted_to_does_not_matter(components):
    """Cosines are of a centred policy: for a drifting one any data looks faithful."""
    drifted = tiny.tiny_components()
    drifted.restore(components.tensors())
    tensors = drifted.meta_learner.tensors()
    tensors["parameters.bias_1"] = tensors["parameters.bias_1"] + 3.0
    drifted.meta_learner.restore(tensors)
    ours, theirs = measure(components).cosines, measure(drifted).cosines
    for name in ours:
        assert np.array_equal(ours[name], theirs[name])


def test_a_shuffled_context_is_another_task_s(components):
    """With one task there is no other."""
    tasks = tiny.walk().sample(1, split="test", seed=2)
    cosines = measure(components, tasks=tasks).cosines
    assert np.isnan(cosines["shuffled_context"]).all()
    assert np.isnan(cosines["other_task"]).all()
    assert np.isfinite(cosines["generated"]).all()
    cosines = measure(components).cosines
    assert not np.array_equal(cosines["generated"], cosines["shuffled_context"])


def test_branched_imagination_is_shuffled_by_its_neighbour_s_context():
    """Rollouts of another task would begin where that task has been: only the context may vary."""
    branching = tiny.trained_components(augmentation__start="own_states")
    pair = tiny.walk().sample(2, split="test", seed=2)
    found = measure(branching, tasks=pair).cosines["shuffled_context"]
    assert np.isfinite(found).all()
    twins = measure(branching, tasks=[pair[0], pair[0]]).cosines
    assert not np.array_equal(twins["generated"], twins["shuffled_context"])
    alone = measure(branching, tasks=pair[:1]).cosines
    assert np.isnan(alone["shuffled_context"]).all()


def test_the_policy_sees_observations_as_they_are(components):
    """A trained scale makes most of any gradient the same for all tasks."""
    assert components.policy.observation_scale() is not None
    scaled = tiny.tiny_components()
    scaled.restore(components.tensors())
    size = scaled.policy.n_inputs
    scaled.policy.set_observation_scale(torch.full((size,), 5.0), torch.full((size,), 0.1))
    ours, theirs = measure(components).cosines, measure(scaled).cosines
    for name in ours:
        assert np.array_equal(ours[name], theirs[name]), name


def test_transitions_are_held_against_episodes_that_the_context_lacks(components, monkeypatch):
    measured, given = [], []

    def watched(gan, context, held_out, stream):
        assert len(context.encoding) == 4
        measured.append(held_out)
        return transition_fidelity(gan, context, held_out, stream)

    def inferring(support, *args):
        given.append(support)
        return infer(support, *args)

    infer = components.gan.infer
    monkeypatch.setattr(components.gan, "infer", inferring)
    monkeypatch.setattr(gradient_fidelity, "transition_fidelity", watched)
    found = measure(components).transitions
    [support], [held_out] = given, measured
    assert held_out.valid.shape == (4, 3, tiny.HORIZON)
    starts = held_out.observations[:, :, 0]
    assert not torch.isclose(starts, support.observations[:, :, 0]).all(-1).any()
    assert found.episodes == 3
    assert found.state_errors.shape == (5, 4)
    # An episode of six steps has no tenth.
    assert np.isfinite(found.state_errors[:3]).all()
    assert np.isnan(found.reward_errors[3:]).all()
    assert found.terminations.transitions == held_out.n_valid()
    assert found.terminations.real == int(held_out.terminated.sum())
    assert ((found.energy_p_values > 0) & (found.energy_p_values <= 1)).all()
    assert ((found.coverages >= 0) & (found.coverages <= 1)).all()


def test_cosines_by_hand():
    true = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0], [3.0, 4.0]])
    ours = torch.tensor([[2.0, 0.0], [1.0, -1.0], [1.0, 0.0], [0.0, 0.0]])
    own = own_cosines(ours, true)
    torch.testing.assert_close(
        own, torch.tensor([1.0, -(0.5**0.5), torch.nan, 0.0]), equal_nan=True
    )
    others = others_cosines(ours, true)
    # Of the others' directions (1, 0), (1, -1) / sqrt(2), (1, 0) and none.
    half = 0.5**0.5
    expected = [(half + 1) / 3, 0.0, torch.nan, (0.6 + half * (0.6 - 0.8) + 0.6) / 3]
    torch.testing.assert_close(others, torch.tensor(expected), equal_nan=True)


def test_what_all_tasks_have_in_common_is_taken_off(components):
    """Of two tasks the true gradients less their mean are opposite."""
    pair = tiny.walk().sample(2, split="test", seed=2)
    found = measure(components, tasks=pair)
    assert found.task_specific["other_task"] == pytest.approx([-1.0, -1.0])
    assert (found.cosines["other_task"] > -1.0 + 1e-3).all()


def test_broken_tasks_are_dropped_wherever_they_break(components, monkeypatch):
    family = tiny.faulty()
    tasks = [family.task(goal=goal, fault=fault) for goal, fault in ((0.5, 0), (0, 1), (-0.5, 0))]
    found = measure(components, family, tasks)
    assert list(found.tasks) == [tasks[0], tasks[2]]
    assert all(np.isfinite(value).all() for value in found.cosines.values())
    assert {dropped.task_id for dropped in found.dropped} == {tasks[1].id}

    # Breaking in the last chunk of the reference only; the same task is there twice.
    collect, calls = gradient_fidelity.collect, []

    def breaking(venv, *args, **settings):
        calls.append(venv)
        for row in range(venv.envs_per_task):
            venv._rows._rows.envs[row].unwrapped.fault = int(len(calls) == 4)
        return collect(venv, *args, **settings)

    monkeypatch.setattr(gradient_fidelity, "collect", breaking)
    twins = [family.task(goal=0.5, fault=0), family.task(goal=0.5, fault=0), tasks[2]]
    found = measure(components, family, twins)
    assert list(found.tasks) == twins[1:]
    assert all(value.shape == (2,) for value in found.cosines.values())


@pytest.mark.parametrize("settings", [{"generated": False}, {"augmentation__mode": "none"}])
def test_without_a_generator_there_is_nothing_to_measure(settings):
    with pytest.raises(ValueError, match="trained without a generator"):
        FidelityMeter(tiny.tiny_components(**settings), tiny.walk(), Streams(0))
