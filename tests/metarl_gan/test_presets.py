"""Presets: overrides that a config takes."""

import pytest

from metarl_gan.config import Config, ConfigError
from metarl_gan.config_io import Layer, override, resolve
from metarl_gan.envs import list_families
from metarl_gan.presets import (
    BY_FAMILY,
    GENERAL,
    OFF_POLICY,
    OFF_POLICY_BY_FAMILY,
    REPTILE_OVER_SB3_BY_ALGORITHM,
    TRUST_REGION_BY_FAMILY,
    preset_overrides,
    with_preset,
)


@pytest.mark.parametrize("preset", GENERAL)
@pytest.mark.parametrize("family", [*BY_FAMILY, "somebody's own"])
def test_every_preset_is_a_valid_config(preset, family):
    overrides = preset_overrides(preset, family)
    config = override(Config(), overrides)
    own = BY_FAMILY.get(family, {}).get(preset, {})
    # What is known of a family wins over the general preset.
    for name, value in {**GENERAL[preset], **own}.items():
        assert overrides[name] == value
    assert config.iterations == overrides.get("iterations", Config().iterations)


@pytest.mark.parametrize("preset", GENERAL)
@pytest.mark.parametrize("family", [*OFF_POLICY_BY_FAMILY, "somebody's own"])
def test_every_preset_of_an_off_policy_learner_is_a_valid_config(preset, family):
    overrides = preset_overrides(preset, family, {"learner.algorithm": "context_sac"})
    override(Config(), overrides)
    assert overrides == {**OFF_POLICY[preset], **OFF_POLICY_BY_FAMILY.get(family, {})}


def test_a_trust_region_has_a_family_s_preset_unless_it_has_its_own():
    asked = {"learner.outer": "trust_region"}
    layer = Layer(source="test", values=asked)
    default = Config().sampler.tasks_per_batch
    tasks = {}
    for family in ("point-goal", "cartpole-physics"):
        clipped = resolve(Config(), *with_preset("default", family)).sampler.tasks_per_batch
        ours = resolve(Config(), *with_preset("default", family, layer)).sampler.tasks_per_batch
        tasks[family] = (clipped, ours)
    assert tasks == {"point-goal": (5, default), "cartpole-physics": (5, 5)}


@pytest.mark.parametrize("inner", ["PPO", "A2C", "SAC", "TD3", "DQN"])
def test_every_preset_of_reptile_over_stable_baselines3_is_a_valid_config(inner):
    asked = {"learner.algorithm": "sb3_reptile", "learner.sb3_algorithm": inner}
    layer, family = Layer(source="test", values=asked), "half-cheetah-velocity"
    config = resolve(Config(), *with_preset("default", family, layer))
    own = REPTILE_OVER_SB3_BY_ALGORITHM.get(inner, {})
    assert {name: preset_overrides("default", family, asked)[name] for name in own} == own
    assert config.sampler.tasks_per_batch == 5  # the family's
    quick = preset_overrides("quick", family, asked)
    assert quick == preset_overrides("quick", family)


def test_families_and_presets_that_presets_name_exist():
    by_family = (BY_FAMILY, TRUST_REGION_BY_FAMILY)
    assert {*BY_FAMILY, *TRUST_REGION_BY_FAMILY, *OFF_POLICY_BY_FAMILY} <= set(list_families())
    assert all(set(presets) <= set(GENERAL) for part in by_family for presets in part.values())


def test_presets_spend_more_from_one_to_the_next():
    quick, default, paper = (
        override(Config(), preset_overrides(name, "any")).iterations
        for name in ("quick", "default", "paper")
    )
    assert quick < default < paper


def test_an_unknown_preset_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r"preset is 'papr'; it must be one of .*'paper'\?"):
        preset_overrides("papr", "any")
    with pytest.raises(ConfigError, match=r"'default', 'paper'\]$"):
        preset_overrides("zzz", "any")


def test_what_is_given_back_is_the_caller_s_own():
    preset_overrides("quick", "any")["iterations"] = -5
    assert preset_overrides("quick", "any")["iterations"] != -5


def test_an_off_policy_learner_has_presets_of_its_own_and_settings_win_over_them():
    asked = {"learner.algorithm": "context_sac", "sampler.tasks_per_batch": 7}
    layers = with_preset("quick", "half-cheetah-velocity", Layer(source="test", values=asked))
    config = resolve(Config(), *layers)
    assert config.sampler.tasks_per_batch == 7
    assert config.augmentation.share == 0.8
    assert config.augmentation.start == Config().augmentation.start  # of the gradient learners
    usual = resolve(Config(), *with_preset("quick", "half-cheetah-velocity"))
    assert usual.augmentation.start == "own_states"
    assert {**preset_overrides("quick", "half-cheetah-velocity")}["iterations"] == usual.iterations
