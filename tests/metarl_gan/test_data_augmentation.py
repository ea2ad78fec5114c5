import copy
from dataclasses import replace
from typing import final

import pytest
import torch

from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.agents.policies import make_policy
from metarl_gan.agents.policy_gradient import MixedRows, PolicyRows, policy_gradient
from metarl_gan.config import AugmentationConfig, LearnerConfig
from metarl_gan.config_error import ConfigError
from metarl_gan.data_augmentation import (
    GeneratedAugmentation,
    NoAugmentation,
    RealAndImagined,
    RealData,
    shares,
)
from metarl_gan.dreams import Dream, GeneratedDream, policy_rows
from metarl_gan.envs import make_family
from metarl_gan.gan import ConditionalGAN
from metarl_gan.held_out_errors import HeldOutErrors
from metarl_gan.learners.gradient import GradientMetaLearner
from tests.agents.toys import random_episodes, same_rows, stream
from tests.metarl_gan.toys import (
    BOX,
    OBSERVATIONS,
    known,
    layers,
    point_goal,
    replace_fields,
    small_config,
    small_gan,
    some_tasks,
    well_trained_gan,
)

LEARNER = LearnerConfig(inner_steps=2, outer_epochs=2)
NAN, INF = float("nan"), float("inf")


def errors(*values):
    """Rewards are wrong by these, the rest not at all."""
    reward = torch.tensor(values)
    return HeldOutErrors(
        next_state=torch.zeros_like(reward), reward=reward, terminated=torch.zeros_like(reward)
    )


def test_shares_by_hand():
    config = AugmentationConfig(share=0.8, gate_full_error=0.1, gate_zero_error=0.5)
    found = shares(small_gan(), errors(0.0, 0.1, 0.2, 0.3, 0.5, 0.7, INF, NAN), config)
    expected = [0.8, 0.8, 0.6, 0.4, 0.0, 0.0, 0.0, 0.0]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    assert (found[4:] == 0).all()


def test_what_a_generator_was_before_it_was_fitted_counts_too():
    config = AugmentationConfig(
        share=0.8, gate_full_error=0.1, gate_zero_error=0.5, gate_unrefined=0.25
    )
    unrefined = [0.0, 0.8, 1.2, 2.0, NAN, INF]
    found = replace(errors(*[0.1] * 6), unrefined=errors(*unrefined))
    expected = [0.8, 0.6, 0.4, 0.0, 0.0, 0.0]
    assert shares(small_gan(), found, config).tolist() == pytest.approx(expected, abs=1e-6)
    # The fitted one may be the worse of the two.
    worse = replace(errors(0.3), unrefined=errors(0.1))
    assert shares(small_gan(), worse, config).item() == pytest.approx(0.4)
    without = replace(config, gate_unrefined=0.0)
    assert shares(small_gan(), found, without).tolist() == pytest.approx([0.8] * 6)


def test_where_rewards_alone_are_taken_no_other_error_counts():
    """Nor did it before the generator was fitted: of 0.5 and 9.0 a quarter of 0.5 is judged."""
    nine = torch.tensor([9.0])
    lost = {"next_state": nine, "terminated": nine}
    found = replace(errors(0.1), **lost, unrefined=replace(errors(0.5), **lost))
    assert found.judged(0.25).item() == pytest.approx(9.0)
    assert found.of_rewards().judged(0.0).item() == pytest.approx(0.1)
    assert found.of_rewards().judged(0.25).item() == pytest.approx(0.125)


@final
class Broken(Dream):
    """Numbers that are none for the first task."""

    def __init__(self, rows):
        self._rows = rows

    def rows(self, parameters):
        broken = self._rows.advantages.clone()
        broken[0] = torch.nan
        return replace(self._rows, advantages=broken)

    def rollouts(self, parameters):
        raise NotImplementedError


def test_generated_numbers_that_are_none_do_not_reach_a_task_without_a_share():
    rows = policy_rows(random_episodes((2, 1, 6)), LEARNER)
    policy = make_policy(OBSERVATIONS, BOX, hidden_sizes=(4,))
    parameters = expand_over_tasks(policy.initial_parameters(stream()), 2)
    data = RealAndImagined(rows, torch.tensor([0.0, 0.5]), Broken(rows))
    mixed = policy_gradient(policy, parameters, data.draw(parameters), 10.0)
    real = policy_gradient(policy, parameters, MixedRows(real=rows), 10.0)
    for name, value in mixed.items():
        assert torch.equal(value[0], real[name][0])
        assert torch.isfinite(value).all()


def test_a_negated_reward_head_passes_no_gate():
    """It can be fitted to one episode: a goal on the other side explains the slope of rewards."""
    gan, test = copy.deepcopy(well_trained_gan()), point_goal(40, "test")
    support = test.batches[0].take_envs(slice(0, 1))
    config = AugmentationConfig()
    honest = shares(gan, gan.infer(support, stream()).errors, config)
    weights = gan.imagining.weights()
    last = max(name for name in weights if name.startswith("reward.weight_"))
    with torch.no_grad():
        for name in (last, last.replace("weight", "bias")):
            weights[name].neg_()
    broken = shares(gan, gan.infer(support, stream()).errors, config)
    assert broken.mean() < 0.05
    assert honest.mean() > 0.5


@pytest.mark.parametrize("field", ["next_state", "reward", "terminated"])
@pytest.mark.parametrize("value", [0.5, INF, NAN])
def test_any_head_that_is_wrong_closes_the_gate(field, value):
    heads = {**errors(0.0, 0.0).by_head(), field: torch.tensor([0.0, value])}
    found = HeldOutErrors(
        next_state=heads["next_state"], reward=heads["reward"], terminated=heads["terminated"]
    )
    chosen = shares(small_gan(), found, AugmentationConfig(share=0.8))
    assert chosen.tolist() == pytest.approx([0.8, 0.0])


def test_a_fixed_share_is_what_it_is():
    config = AugmentationConfig(mode="fixed", share=0.3)
    found = shares(small_gan(), errors(0.0, 9.0, INF, NAN), config)
    assert found.tolist() == pytest.approx([0.3] * 4)


def test_a_scheduled_share_grows_with_the_updates_of_the_generator():
    config = AugmentationConfig(mode="scheduled", share=0.6, schedule_updates=4)
    gan, found = small_gan(), []
    for _ in range(6):
        found.append(shares(gan, errors(0.0, 9.0, INF, NAN), config))
        gan.average()
    expected = [0.0, 0.15, 0.3, 0.45, 0.6, 0.6]
    for at_once, share in zip(found, expected, strict=True):
        assert at_once.tolist() == pytest.approx([share] * 4)


@pytest.mark.parametrize(
    ("error", "share"), [(0.1, 0.8), (0.3, 0.4), (0.5, 0.0), (INF, 0.0), (NAN, 0.0)]
)
def test_a_gate_by_validation_tasks_is_the_same_for_all_tasks(error, share):
    config = AugmentationConfig(
        gate="validation", share=0.8, gate_full_error=0.1, gate_zero_error=0.5
    )
    gan = small_gan()
    assert shares(gan, errors(0.0, 0.0), config).tolist() == [0.0, 0.0]  # not validated yet
    gan.validation_error.fill_(error)
    assert shares(gan, errors(0.0, 9.0), config).tolist() == pytest.approx([share, share])


def a_policy():
    return make_policy(OBSERVATIONS, BOX, hidden_sizes=(8,))


def augmentation(gan, policy, **settings):
    config = replace(small_config(), learner=LEARNER)
    config = replace_fields(config, {"augmentation": {"mode": "fixed", **settings}})
    return GeneratedAugmentation(gan, policy, config, 6)


def averaged_gan(batch, **changes):
    gan = small_gan(small_config(**changes))
    gan.space.update(batch)
    gan.average()
    return gan


def parameters_of(policy, n_tasks=2):
    return expand_over_tasks(policy.initial_parameters(stream()), n_tasks)


def test_the_support_s_rows_have_the_learner_s_discount_and_lambda():
    batch, config = random_episodes((2, 2, 8)), LearnerConfig(discount=0.7, gae_lambda=0.4)
    found = policy_rows(batch, config)
    assert same_rows(found, PolicyRows.from_transitions(batch, discount=0.7, gae_lambda=0.4))
    assert not same_rows(found, policy_rows(batch, LEARNER))


@pytest.mark.parametrize(
    ("mode", "gate", "least"),
    [("fixed", "own_task", 3), ("gated", "own_task", 6), ("gated", "validation", 3)],
)
def test_nothing_is_generated_for_a_task_of_too_little_support(mode, gate, least):
    """`encoder.min_context` is 3; a gate by the task's own errors needs half of all apart."""
    batch = random_episodes((2, 2, 8))
    gan, policy = averaged_gan(batch), a_policy()
    gan.validation_error.zero_()
    open_gate = {"gate_full_error": 1e6, "gate_zero_error": 2e6, "share": 0.5}
    for n_valid in (0, least - 1, least):
        valid = torch.zeros_like(batch.valid)
        valid[0, 1, :n_valid] = valid[1] = True
        support = replace(batch, valid=valid)
        mixture = augmentation(gan, policy, mode=mode, gate=gate, **open_gate).mix(
            support, stream()
        )
        assert mixture.share.tolist() == [0.5 if n_valid == least else 0.0, 0.5]


def test_an_agent_that_takes_descriptors_has_to_be_told_the_task():
    batch, policy = random_episodes((2, 2, 8)), a_policy()
    config = replace_fields(
        replace(small_config(encoder={"descriptor": True}), learner=LEARNER),
        {"augmentation": {"mode": "fixed", "share": 0.5}},
    )
    gan = ConditionalGAN(OBSERVATIONS, BOX, config, descriptor_size=1)
    gan.space.update(batch)
    gan.average()
    found = GeneratedAugmentation(gan, policy, config, 6)
    with pytest.raises(ConfigError, match=r"encoder\.descriptor is True: .*told which task"):
        found.mix(batch, stream())
    first, other = (
        found.infer(batch, stream(), some_tasks("a", name)).encoding for name in ("b", "c")
    )
    torch.testing.assert_close(first[0], other[0])
    assert not torch.allclose(first[1], other[1])
    assert found.mix(batch, stream(), some_tasks("a", "b")).share.tolist() == [0.5, 0.5]


def test_the_shuffled_control_takes_each_task_for_its_neighbour():
    batch, policy = random_episodes((3, 2, 8)), a_policy()
    gan = averaged_gan(batch)
    encodings = []
    for shuffled in (False, True):
        mixture = augmentation(gan, policy, shuffled_context=shuffled).mix(batch, stream())
        assert isinstance(mixture.data, RealAndImagined)
        assert isinstance(mixture.data._dream, GeneratedDream)
        encodings.append(mixture.data._dream.context.encoding)
    expected, found = encodings
    assert torch.equal(found, expected.roll(1, dims=0))
    with pytest.raises(ConfigError, match="shuffled_context takes another task's context"):
        augmentation(gan, policy, shuffled_context=True).mix(batch.select(0), stream())


def test_a_shuffled_context_takes_its_adapted_weights_along():
    # Two elites of three tasks: batch entry 3 e + t.
    weights = {"bias": torch.tensor([0.0, 1.0, 2.0, 10.0, 11.0, 12.0])}
    rolled = known(torch.tensor([[0.0], [1.0], [2.0]]), weights).roll()
    assert rolled.encoding.flatten().tolist() == [2.0, 0.0, 1.0]
    assert rolled.weights is not None
    assert rolled.weights["bias"].tolist() == [2.0, 0.0, 1.0, 12.0, 10.0, 11.0]


def test_without_a_generator_the_support_is_all_there_is():
    batch = random_episodes((2, 2, 8))
    mixture = NoAugmentation(replace(small_config(), learner=LEARNER)).mix(batch, stream())
    drawn = mixture.data.draw({})
    assert drawn.generated is None
    assert drawn.share is None
    assert same_rows(drawn.real, policy_rows(batch, LEARNER))
    assert mixture.share.tolist() == [0.0, 0.0]
    assert mixture.errors is None


def test_a_generator_that_was_never_trained_is_not_asked():
    batch = random_episodes((2, 2, 8))
    gan = small_gan()
    gan.space.update(batch)
    mixture = augmentation(gan, a_policy()).mix(batch, stream())
    assert isinstance(mixture.data, RealData)
    assert mixture.share.tolist() == [0.0, 0.0]


def test_each_inner_step_imagines_afresh_under_the_policy_it_has():
    batch, policy = random_episodes((2, 2, 8)), a_policy()
    settings = {"share": 0.6, "rollouts_per_task": 5, "rollout_steps": 4}
    mixture = augmentation(averaged_gan(batch), policy, **settings).mix(batch, stream())
    parameters = parameters_of(policy)
    elsewhere = {**parameters, "bias_1": parameters["bias_1"] + 1.0}
    imagined = []
    for acting in (parameters, parameters, elsewhere):
        drawn = mixture.data.draw(acting)
        assert same_rows(drawn.real, policy_rows(batch, LEARNER))
        assert drawn.share is not None
        assert drawn.share.tolist() == pytest.approx([0.6, 0.6])
        assert drawn.generated is not None
        assert drawn.generated.advantages.shape == (2, 20)
        imagined.append(drawn.generated)
    first, second, third = imagined
    assert not torch.equal(first.actions, second.actions)
    # The other policy acts one half range further up, and half ranges are 2.
    assert (third.actions - first.actions).mean() == pytest.approx(2.0, abs=0.5)
    log_probs = policy.log_probs(elsewhere, third.observations, third.actions)
    torch.testing.assert_close(log_probs, third.log_probs, rtol=1e-4, atol=1e-4)


def test_rollouts_last_a_horizon_unless_said_otherwise():
    batch, policy = random_episodes((2, 2, 8)), a_policy()
    gan = averaged_gan(batch)
    with torch.no_grad():
        _, bias = layers(gan.imagining.dynamics)[-1]
        bias[:, -1] = -50.0
    for rollout_steps, expected in ((0, 6), (3, 3)):
        found = augmentation(gan, policy, rollouts_per_task=5, rollout_steps=rollout_steps)
        drawn = found.mix(batch, stream()).data.draw(parameters_of(policy)).generated
        assert drawn is not None
        assert drawn.weights.count_nonzero(-1).tolist() == [5 * expected] * 2


@pytest.mark.parametrize("start", ["initial", "own_states"])
def test_where_imagination_starts(start):
    batch, policy = random_episodes((2, 2, 8)), a_policy()
    gan = averaged_gan(batch)
    found = augmentation(gan, policy, start=start, rollout_steps=1)
    dream = found.dream(batch, gan.infer(batch, stream()), stream(), n_rollouts=200)
    begun = dream.rows(parameters_of(policy)).observations
    assert begun.shape == (2, 200, 3)
    for task in range(2):
        visited = {tuple(row) for row in batch.observations[task][batch.valid[task]].tolist()}
        initial = {tuple(row) for row in batch.observations[:, :, 0].flatten(0, 1).tolist()}
        states = {tuple(row) for row in begun[task].tolist()}
        assert states == (visited if start == "own_states" else initial)


def everything_after(augmentation, batch, query, policy):
    learner = GradientMetaLearner(policy, LEARNER, stream())
    adapted = learner.adapt(augmentation.mix(batch, stream(5)), 2)
    learner.outer_loop(adapted, policy_rows(query, LEARNER))
    return {**adapted.parameters, **learner.tensors()}


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "fixed", "share": 0.0},
        {"mode": "gated", "gate_full_error": 0.0, "gate_zero_error": 1e-9},
    ],
)
def test_a_share_of_zero_is_no_generator_to_the_bit(settings):
    batch, query, policy = (*(random_episodes((2, 2, 8), seed=s) for s in (0, 1)), a_policy())
    gan = averaged_gan(batch)
    found = everything_after(augmentation(gan, policy, **settings), batch, query, policy)
    expected = everything_after(
        NoAugmentation(replace(small_config(), learner=LEARNER)), batch, query, policy
    )
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    mixed = everything_after(augmentation(gan, policy, share=0.5), batch, query, policy)
    assert any(not torch.equal(mixed[name], value) for name, value in expected.items())


GATE = {"mode": "gated", "share": 1.0, "gate_full_error": 0.05, "gate_zero_error": 0.3}


def gate_of(gan):
    """Of all that it may, what a gate lets through for one episode of 40 test tasks each."""
    support = point_goal(40, "test").batches[0].take_envs(slice(0, 1))
    family = make_family("point-goal")
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=(8,))
    config = replace_fields(replace(small_config(), learner=LEARNER), {"augmentation": GATE})
    gated = GeneratedAugmentation(gan, policy, config, 100)
    return gated.mix(support, stream()).share


def test_a_good_generator_passes_the_gate():
    assert gate_of(well_trained_gan()).mean() > 0.8


@pytest.mark.parametrize("spoil", ["negated rewards", "random weights", "not a number"])
def test_a_bad_generator_does_not(spoil):
    gan = copy.deepcopy(well_trained_gan())
    weight, bias = layers(gan.imagining.reward)[-1]
    with torch.no_grad():
        if spoil == "negated rewards":
            weight.neg_()
            bias.neg_()
        elif spoil == "random weights":
            for parameter in gan.imagining.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=stream()))
        else:
            bias.fill_(NAN)
    assert (gate_of(gan) == 0).all()
