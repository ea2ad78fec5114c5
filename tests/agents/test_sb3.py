"""The bridge: what plain Stable-Baselines3 loads acts as our policy does."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO

from metarl_gan.agents.adapted_policy import AdaptedPolicy
from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.agents.policies import make_policy
from metarl_gan.agents.sb3 import as_sb3

OBSERVATIONS = spaces.Box(-np.inf, np.inf, (3,), np.float32)
BOX = spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 5.0], np.float32))
UNBOUNDED = spaces.Box(-np.inf, np.inf, (2,), np.float32)
CHOICE = spaces.Discrete(4)
CHOICES = spaces.MultiDiscrete([4, 2, 3])


def adapted(action_space, *, hidden_sizes=(8, 6), activation="tanh", scaled=True):
    policy = make_policy(
        OBSERVATIONS, action_space, hidden_sizes=hidden_sizes, activation=activation
    )
    noise = torch.Generator().manual_seed(0)
    parameters = policy.initial_parameters(noise)
    # Far from the centred start, so that actions differ and some are clipped.
    parameters = {
        name: value + 0.5 * torch.randn(value.shape, generator=noise)
        for name, value in parameters.items()
    }
    if scaled:
        policy.set_observation_scale(torch.tensor([1.0, -2.0, 0.5]), torch.tensor([2.0, 0.1, 5.0]))
    return AdaptedPolicy(policy, expand_over_tasks(parameters, 1), OBSERVATIONS, action_space)


def observations(n=300):
    return np.random.default_rng(1).normal([1, -2, 0.5], [4, 0.2, 9], (n, 3)).astype(np.float32)


@pytest.mark.parametrize("activation", ["tanh", "relu", "silu"])
@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("action_space", [BOX, CHOICE, CHOICES], ids=["box", "choice", "choices"])
def test_the_loaded_model_acts_as_the_policy(tmp_path, action_space, scaled, activation):
    policy = adapted(action_space, scaled=scaled, activation=activation)
    written = policy.to_sb3(str(tmp_path / "p.zip"))
    loaded = PPO.load(tmp_path / "p.zip", device="cpu")
    rows = observations()
    ours, _ = policy.predict(rows, deterministic=True)
    for model in (written, loaded):
        theirs, _ = model.predict(rows, deterministic=True)
        if action_space is not BOX:
            assert len(np.unique(ours)) > 2
            assert (ours == theirs).all()
        else:
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    if action_space is BOX:
        inside = (ours > BOX.low) & (ours < BOX.high)
        assert inside.any()
        assert not inside.all()


def test_one_observation_as_well_as_many():
    policy = adapted(BOX)
    model = as_sb3(policy.policy, policy.parameters, OBSERVATIONS, BOX)
    row = observations(1)[0]
    np.testing.assert_allclose(
        policy.predict(row, deterministic=True)[0],
        model.predict(row, deterministic=True)[0],
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("action_space", [BOX, CHOICE, CHOICES], ids=["box", "choice", "choices"])
def test_actions_have_the_same_distribution(action_space):
    policy = adapted(action_space)
    model = as_sb3(policy.policy, policy.parameters, OBSERVATIONS, action_space)
    assert isinstance(model, PPO)
    rows = torch.as_tensor(observations(20))
    actions, ours = policy.policy.sample(
        policy.parameters, rows.unsqueeze(0), torch.Generator().manual_seed(2)
    )
    with torch.no_grad():
        _, theirs, entropy = model.policy.evaluate_actions(rows, actions[0])
    torch.testing.assert_close(ours[0], theirs, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        policy.policy.entropy(policy.parameters, rows.unsqueeze(0))[0],
        entropy,
        rtol=1e-3,
        atol=1e-3,
    )


def test_the_policy_itself_is_not_changed():
    policy = adapted(BOX)
    before = {name: value.clone() for name, value in policy.parameters.items()}
    model = as_sb3(policy.policy, policy.parameters, OBSERVATIONS, BOX)
    with torch.no_grad():
        for value in model.policy.parameters():
            value.zero_()
    for name, value in policy.parameters.items():
        assert torch.equal(value, before[name])


def test_policies_without_a_counterpart():
    flat = adapted(BOX, hidden_sizes=())
    with pytest.raises(ValueError, match="without hidden layers"):
        as_sb3(flat.policy, flat.parameters, OBSERVATIONS, BOX)
    free = adapted(UNBOUNDED)
    with pytest.raises(ValueError, match=r"not bounded; Stable-Baselines3 knows only those with"):
        as_sb3(free.policy, free.parameters, OBSERVATIONS, UNBOUNDED)
    shifted = spaces.Discrete(4, start=2)
    other = adapted(shifted)
    with pytest.raises(ValueError, match=r"start at 2; Stable-Baselines3 knows only those that"):
        as_sb3(other.policy, other.parameters, OBSERVATIONS, shifted)
    several = spaces.Tuple([CHOICE, BOX])
    hybrid = adapted(several)
    with pytest.raises(ValueError, match=r"several parts; Stable-Baselines3 has no such policies"):
        hybrid.to_sb3("never-written.zip")
    late = spaces.MultiDiscrete([2, 2], start=[0, 1])
    with pytest.raises(ValueError, match=r"start at \[0 1\]; Stable-Baselines3"):
        adapted(late).to_sb3("never-written.zip")
