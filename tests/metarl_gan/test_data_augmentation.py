import copy
from dataclasses import replace

import pytest
import torch

from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.agents.policies import make_policy
from metarl_gan.agents.policy_gradient import PolicyRows
from metarl_gan.config import AugmentationConfig, LearnerConfig
from metarl_gan.data_augmentation import (
    GeneratedAugmentation,
    NoAugmentation,
    RealData,
    policy_rows,
    shares,
)
from metarl_gan.envs import make_family
from metarl_gan.gan import HeldOutErrors
from metarl_gan.meta_learner import MetaLearner
from tests.agents.toys import random_episodes, stream
from tests.metarl_gan.toys import (
    BOX,
    OBSERVATIONS,
    linears,
    point_goal,
    small_config,
    small_gan,
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
    found = shares(errors(0.0, 0.1, 0.2, 0.3, 0.5, 0.7, INF, NAN), config)
    expected = [0.8, 0.8, 0.6, 0.4, 0.0, 0.0, 0.0, 0.0]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    assert (found[4:] == 0).all()


@pytest.mark.parametrize("field", ["next_state", "reward", "terminated"])
@pytest.mark.parametrize("value", [0.5, INF, NAN])
def test_any_head_that_is_wrong_closes_the_gate(field, value):
    found = HeldOutErrors(**{**vars(errors(0.0, 0.0)), field: torch.tensor([0.0, value])})
    assert shares(found, AugmentationConfig(share=0.8)).tolist() == pytest.approx([0.8, 0.0])


def test_a_fixed_share_is_what_it_is():
    config = AugmentationConfig(mode="fixed", share=0.3)
    found = shares(errors(0.0, 9.0, INF, NAN), config)
    assert found.tolist() == pytest.approx([0.3] * 4)


def a_policy():
    return make_policy(OBSERVATIONS, BOX, hidden_sizes=(8,))


def augmentation(gan, policy, **settings):
    config = replace(AugmentationConfig(mode="fixed"), **settings)
    return GeneratedAugmentation(gan, policy, config, LEARNER, 6)


def averaged_gan(batch, **changes):
    gan = small_gan(small_config(**changes))
    gan.space.update(batch)
    gan.average()
    return gan


def parameters_of(policy, n_tasks=2):
    return expand_over_tasks(policy.initial_parameters(stream()), n_tasks)


def same(first, second):
    return all(torch.equal(value, getattr(second, name)) for name, value in vars(first).items())


def test_the_support_s_rows_have_the_learner_s_discount_and_lambda():
    batch, config = random_episodes((2, 2, 8)), LearnerConfig(discount=0.7, gae_lambda=0.4)
    found = policy_rows(batch, config)
    assert same(found, PolicyRows.from_transitions(batch, discount=0.7, gae_lambda=0.4))
    assert not same(found, policy_rows(batch, LEARNER))


def test_without_a_generator_the_support_is_all_there_is():
    batch = random_episodes((2, 2, 8))
    mixture = NoAugmentation(LEARNER).mix(batch, stream())
    drawn = mixture.data.draw({})
    assert drawn.generated is None
    assert drawn.share is None
    assert same(drawn.real, policy_rows(batch, LEARNER))
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
        assert same(drawn.real, policy_rows(batch, LEARNER))
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
        linears(gan.imagining.dynamics)[-1].bias[-1] = -50.0
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
    encoding = gan.infer(batch, stream()).encoding
    dream = found.dream(batch, encoding, stream(), n_rollouts=200)
    begun = dream.rows(parameters_of(policy)).observations
    assert begun.shape == (2, 200, 3)
    for task in range(2):
        visited = {tuple(row) for row in batch.observations[task][batch.valid[task]].tolist()}
        initial = {tuple(row) for row in batch.observations[:, :, 0].flatten(0, 1).tolist()}
        states = {tuple(row) for row in begun[task].tolist()}
        assert states == (visited if start == "own_states" else initial)


def everything_after(augmentation, batch, query, policy):
    learner = MetaLearner(policy, LEARNER, stream())
    adapted = learner.adapt(augmentation.mix(batch, stream(5)).data, 2)
    learner.update(adapted, policy_rows(query, LEARNER))
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
    expected = everything_after(NoAugmentation(LEARNER), batch, query, policy)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    mixed = everything_after(augmentation(gan, policy, share=0.5), batch, query, policy)
    assert any(not torch.equal(mixed[name], value) for name, value in expected.items())


GATE = AugmentationConfig(share=1.0, gate_full_error=0.05, gate_zero_error=0.3)


def gate_of(gan):
    """Of all that it may, what a gate lets through for one episode of 40 test tasks each."""
    support = point_goal(40, "test").batches[0].take_envs(slice(0, 1))
    family = make_family("point-goal")
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=(8,))
    gated = GeneratedAugmentation(gan, policy, GATE, LEARNER, 100)
    return gated.mix(support, stream()).share


def test_a_good_generator_passes_the_gate():
    assert gate_of(well_trained_gan()).mean() > 0.8


@pytest.mark.parametrize("spoil", ["negated rewards", "random weights", "not a number"])
def test_a_bad_generator_does_not(spoil):
    gan = copy.deepcopy(well_trained_gan())
    reward = linears(gan.imagining.reward)[-1]
    with torch.no_grad():
        if spoil == "negated rewards":
            reward.weight.neg_()
            reward.bias.neg_()
        elif spoil == "random weights":
            for parameter in gan.imagining.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=stream()))
        else:
            reward.bias.fill_(NAN)
    assert (gate_of(gan) == 0).all()
