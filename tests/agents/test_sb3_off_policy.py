"""The bridge for policies of SAC, TD3 and DQN, and standardisation outside of the model."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, PPO, SAC, TD3
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from metarl_gan.agents.adapted_policy import AdaptedPolicy
from metarl_gan.agents.exploring_policies import EpsilonGreedyPolicy, NoisyActorPolicy
from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.agents.policies import make_policy
from metarl_gan.agents.squashed_gaussian import SquashedGaussianPolicy
from tests.agents.test_sb3 import BOX, CHOICE, OBSERVATIONS, observations

SCALE = (torch.tensor([1.0, -2.0, 0.5]), torch.tensor([2.0, 0.1, 5.0]))
ALGORITHMS = {"SAC": SAC, "TD3": TD3, "DQN": DQN}


def adapted(algorithm, *, scaled=True, encoding_size=2):
    policies = {
        "SAC": SquashedGaussianPolicy(BOX, 3, encoding_size, (8, 6)),
        "TD3": NoisyActorPolicy(BOX, 3, (8, 6)),
        "DQN": EpsilonGreedyPolicy(CHOICE, 3, (8, 6), epsilon=0.5),
    }
    policy, noise = policies[algorithm], torch.Generator().manual_seed(0)
    parameters = {
        name: value + 0.5 * torch.randn(value.shape, generator=noise)
        for name, value in policy.initial_parameters(noise).items()
    }
    if scaled:
        policy.set_observation_scale(*SCALE)
    space = CHOICE if algorithm == "DQN" else BOX
    return AdaptedPolicy(policy, expand_over_tasks(parameters, 1), OBSERVATIONS, space)


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("algorithm", ["SAC", "TD3", "DQN"])
def test_the_loaded_model_acts_as_the_policy(tmp_path, algorithm, scaled):
    policy = adapted(algorithm, scaled=scaled)
    policy.to_sb3(str(tmp_path / "p.zip"))
    loaded = ALGORITHMS[algorithm].load(tmp_path / "p.zip", device="cpu")
    rows = observations()
    ours, _ = policy.predict(rows, deterministic=True)
    theirs, _ = loaded.predict(rows, deterministic=True)
    assert len(np.unique(ours)) > 2
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_what_a_squashed_policy_was_told_matters():
    told, other = adapted("SAC"), adapted("SAC")
    other.parameters["encoding"] = other.parameters["encoding"] + 1.0
    actions = [each.predict(observations(), deterministic=True)[0] for each in (told, other)]
    assert np.abs(actions[0] - actions[1]).max() > 0.1


def test_sampled_actions_of_sac_have_the_same_distribution(tmp_path):
    policy = adapted("SAC")
    model = policy.to_sb3(str(tmp_path / "p.zip"))
    assert isinstance(model, SAC)
    rows = torch.as_tensor(observations())
    with torch.no_grad():
        mean, log_std, _ = model.actor.get_action_dist_params(rows)
    own = policy.policy
    assert isinstance(own, SquashedGaussianPolicy)
    inputs = own.inputs(rows.unsqueeze(0), policy.parameters["encoding"].unsqueeze(-2))
    our_mean, our_log_std = own.moments(policy.parameters, inputs)
    within = our_log_std[0] > -5.0  # ours is bounded there
    assert within.float().mean() > 0.8
    torch.testing.assert_close(mean, our_mean[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(log_std[within], our_log_std[0][within], atol=1e-5, rtol=1e-5)


def test_dqn_explores_as_often(tmp_path):
    policy = adapted("DQN")
    policy.to_sb3(str(tmp_path / "p.zip"))
    assert DQN.load(tmp_path / "p.zip", device="cpu").exploration_rate == 0.5


def test_standardisation_can_stay_outside(tmp_path):
    venv = make_vec_env("Pendulum-v1", n_envs=2, seed=0)
    policy = make_policy(venv.observation_space, venv.action_space, hidden_sizes=(8, 6))
    parameters = policy.initial_parameters(torch.Generator().manual_seed(0))
    parameters["weight_2"] = parameters["weight_2"] * 100
    policy.set_observation_scale(*SCALE)
    assert isinstance(venv.observation_space, spaces.Box)
    own = AdaptedPolicy(
        policy, expand_over_tasks(parameters, 1), venv.observation_space, venv.action_space
    )
    own.to_sb3(str(tmp_path / "p.zip"), fold_scale=False)
    model, returns = PPO.load(tmp_path / "p.zip", device="cpu"), []
    for actor, env in ((own, venv), (model, own.vec_normalize(venv))):
        venv.seed(0)
        mean, _ = evaluate_policy(actor, env, 2, warn=False)  # pyrefly: ignore
        returns.append(mean)
    assert returns[0] == pytest.approx(returns[1], abs=1e-2)
    rows = observations()
    normalised = own.vec_normalize(venv).normalize_obs(rows)
    np.testing.assert_allclose(
        own.predict(rows, deterministic=True)[0],
        model.predict(normalised, deterministic=True)[0],
        atol=1e-5,
    )
