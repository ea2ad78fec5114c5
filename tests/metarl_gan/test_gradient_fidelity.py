"""Gradient fidelity: 1 for the truth itself, by source and task by task."""

import numpy as np
import pytest
import torch

from metarl_gan import gradient_fidelity
from metarl_gan.gradient_fidelity import FidelityMeter
from metarl_gan.streams import Streams
from tests.metarl_gan import tiny


@pytest.fixture(scope="module")
def components():
    return tiny.trained_components()


@pytest.fixture(autouse=True)
def small_reference(monkeypatch):
    monkeypatch.setattr(gradient_fidelity, "REFERENCE_CHUNKS", 3)
    monkeypatch.setattr(gradient_fidelity, "EPISODES_PER_CHUNK", 4)


def measure(components, family=None, tasks=None, episodes=1, seed=0):
    family = family or tiny.walk()
    tasks = tasks or family.sample(4, split="test", seed=2)
    return FidelityMeter(components, family, Streams(seed)).measure(tasks, episodes)


def test_sources_tasks_and_costs(components, monkeypatch):
    monkeypatch.setattr(tiny.Walk, "total_steps", 0)
    found = measure(components, episodes=2)
    assert set(found.cosines) == {"generated", "mixed", "real", "shuffled_context"}
    assert all(value.shape == (4,) for value in found.cosines.values())
    assert all((np.abs(value) <= 1.0 + 1e-6).all() for value in found.cosines.values())
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
    with torch.no_grad():
        drifted.meta_learner.parameters["bias_1"].add_(3.0)
    ours, theirs = measure(components).cosines, measure(drifted).cosines
    for name in ours:
        assert np.array_equal(ours[name], theirs[name])


def test_a_shuffled_context_is_another_task_s(components):
    """With one task there is no other, and the control is the thing itself."""
    tasks = tiny.walk().sample(1, split="test", seed=2)
    cosines = measure(components, tasks=tasks).cosines
    assert np.array_equal(cosines["generated"], cosines["shuffled_context"])
    cosines = measure(components).cosines
    assert not np.array_equal(cosines["generated"], cosines["shuffled_context"])


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
