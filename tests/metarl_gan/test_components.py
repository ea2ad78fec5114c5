"""The parts of an agent: built from config and spaces alone, and restored whole."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl_gan.agents.environment_pool import EnvironmentPool
from metarl_gan.checkpoint import CheckpointError
from metarl_gan.components import Components, choose_device
from metarl_gan.config import ConfigError
from metarl_gan.data_augmentation import (
    GeneratedAugmentation,
    NoAugmentation,
    SimulatedAugmentation,
)
from tests.metarl_gan import tiny


def test_the_same_config_gives_the_same_weights_whatever_torch_has_drawn():
    torch.manual_seed(1)
    first = tiny.tiny_components()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    tiny.assert_same_tensors(first.tensors(), tiny.tiny_components().tensors())
    assert torch.equal(torch.get_rng_state(), before)
    other = tiny.tiny_components(seed=1).tensors()
    for name in ("meta_learner.parameters.weight_0", "gan.generator.reward.weight_0"):
        assert not torch.equal(first.tensors()[name], other[name])


def test_the_policy_starts_the_same_with_and_without_a_generator():
    arms = [tiny.tiny_components(generated=generated).tensors() for generated in (True, False)]
    for name, value in arms[1].items():
        assert torch.equal(arms[0][name], value)
    assert not any(name.startswith("gan.") for name in arms[1])


@pytest.mark.parametrize("family", [tiny.walk, tiny.steer])
def test_restored_parts_act_as_the_originals(family):
    trained = tiny.trained_components(family())
    other = tiny.tiny_components(family())
    other.restore(trained.tensors())
    tiny.assert_same_tensors(other.tensors(), trained.tensors())
    for ours, theirs in zip(
        other.policy.observation_scale() or (),
        trained.policy.observation_scale() or (),
        strict=True,
    ):
        assert torch.equal(ours, theirs)
    first, again = (tiny.curve(made, family()).returns for made in (trained, other))
    assert np.array_equal(first, again)


def test_restoring_does_not_tie_parts_to_what_they_were_restored_from():
    trained, other = tiny.trained_components(), tiny.tiny_components()
    other.restore(trained.tensors())
    before = {name: value.clone() for name, value in other.tensors().items()}
    for value in trained.tensors().values():
        value.zero_()
    tiny.assert_same_tensors(other.tensors(), before)


def test_weights_that_do_not_fit_are_refused_before_anything_is_changed():
    parts = tiny.tiny_components()
    before = {name: value.clone() for name, value in parts.tensors().items()}
    wrong = {name: value + 1 for name, value in parts.tensors().items()}
    wrong["observations.mean"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match=r"observations.mean has shape \(1,\) in place of"):
        parts.restore(wrong)
    tiny.assert_same_tensors(parts.tensors(), before)


def test_observations_are_standardised_only_if_asked_to():
    assert tiny.trained_components().policy.observation_scale() is not None
    plain = tiny.trained_components(policy__normalise_observations=False)
    assert plain.policy.observation_scale() is None


@pytest.mark.parametrize(
    ("settings", "generated", "kind"),
    [
        ({}, True, GeneratedAugmentation),
        ({}, False, NoAugmentation),
        ({"generated": False}, True, NoAugmentation),
        ({"augmentation__mode": "none"}, True, NoAugmentation),
        ({"generator__kind": "none"}, True, NoAugmentation),
        ({"generator__kind": "ensemble"}, True, GeneratedAugmentation),
        ({"generator__kind": "diffusion"}, True, GeneratedAugmentation),
        ({"generator__kind": "simulator"}, False, NoAugmentation),
    ],
)
def test_generated_data_only_where_there_is_a_generator_and_it_is_wanted(settings, generated, kind):
    parts = tiny.tiny_components(**settings)
    assert isinstance(parts.augmentation(generated=generated), kind)
    simulated = parts.config.generator.kind == "simulator"
    assert (parts.gan is None) == (simulated or not parts.config.uses_generator)


def test_a_simulator_stands_in_where_there_are_environments():
    parts, pool = tiny.tiny_components(generator__kind="simulator"), EnvironmentPool(tiny.walk())
    assert isinstance(parts.augmentation(pool), SimulatedAugmentation)
    with pytest.raises(ConfigError, match="stands in for a generator on a family only"):
        parts.augmentation()
    pool.close()


def test_auto_is_an_accelerator_if_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["quantum", "", "cuda:77"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(ConfigError, match=f"device is '{name}', which is not available here"):
        choose_device(name)


def test_everything_is_made_on_the_device_that_was_asked_for():
    """The meta device computes nothing, and refuses to mix with what lies elsewhere."""
    from metarl_gan.gan import ConditionalGAN

    parts = tiny.tiny_components()
    assert {value.device.type for value in parts.tensors().values()} == {"cpu"}
    gan = ConditionalGAN(parts.observation_space, parts.action_space, parts.config).to("meta")
    assert {t.device.type for t in [*gan.parameters(), *gan.buffers()]} == {"meta"}


@pytest.mark.parametrize(
    ("observations", "actions", "message"),
    [
        (spaces.Box(0, 1, (3, 3)), spaces.Discrete(2), "1-D Box"),
        (spaces.Discrete(3), spaces.Discrete(2), "1-D Box"),
        (spaces.Box(0, 1, (3,)), spaces.MultiBinary(2), "action space .* is not supported"),
    ],
)
def test_spaces_that_no_policy_serves(observations, actions, message):
    with pytest.raises(ValueError, match=message):
        Components.build(tiny.tiny_config(), observations, actions, 5)


def test_a_budget_must_do_for_one_iteration():
    # 4 tasks, 1 + 1 episodes, 6 steps.
    assert tiny.tiny_components(max_real_steps=48).config.max_real_steps == 48
    with pytest.raises(ConfigError, match=r"max_real_steps is 47; .* 8 episodes of 6 steps: .* 48"):
        tiny.tiny_components(max_real_steps=47)
