"""An agent adapts to one environment that somebody made."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from metarl_gan.agent import MetaAgent
from tests.metarl_gan import tiny


@pytest.fixture(scope="module")
def agent():
    return MetaAgent(tiny.trained_components())


@pytest.fixture(scope="module")
def steering():
    return MetaAgent(tiny.trained_components(tiny.steer()))


class Endless(tiny.Walk):
    """Never terminates, and has no time limit."""

    def step(self, action):
        observation, reward, _, _, info = super().step(np.clip(action, -0.05, 0.05))
        return observation, reward, False, False, info


def test_adapting_changes_the_policy_by_what_the_task_rewards(agent):
    initial, left, right = (
        agent.adapt(tiny.Walk(goal=goal), episodes=n).parameters
        for goal, n in ((0.0, 0), (-0.9, 1), (0.9, 1))
    )
    own = agent.components.meta_learner.initial_policy(1)
    tiny.assert_same_tensors(initial, own)
    for name in ("weight_0", "weight_1", "log_std"):
        assert not torch.equal(left[name], initial[name])
        assert not torch.equal(left[name], right[name])


def test_the_horizon_ends_episodes_of_an_environment_without_time_limit(agent, monkeypatch):
    env = Endless(goal=0.5)
    monkeypatch.setattr(Endless, "total_steps", 0)
    agent.adapt(env, episodes=3)
    assert Endless.total_steps == 3 * tiny.HORIZON


def test_an_environment_s_own_time_limit_ends_episodes_earlier(agent, monkeypatch):
    monkeypatch.setattr(Endless, "total_steps", 0)
    agent.adapt(gymnasium.wrappers.TimeLimit(Endless(goal=0.5), 4), episodes=2)
    assert Endless.total_steps == 2 * 4


def test_the_environment_stays_open_and_usable(agent):
    env = tiny.Walk(goal=0.5)
    policy = agent.adapt(env)
    assert not env.closed
    observation, _ = env.reset(seed=0)
    env.step(policy.predict(observation)[0])


def test_a_seed_gives_the_same_policy_and_another_seed_another(agent):
    same, again, other = (agent.adapt(tiny.Walk(goal=0.5), seed=s).parameters for s in (1, 1, 2))
    tiny.assert_same_tensors(same, again)
    assert not torch.equal(same["weight_0"], other["weight_0"])


def test_without_generated_data_it_is_the_agent_without_a_generator(agent):
    """The same weights beside no GAN at all adapt to the same policy."""
    without = tiny.tiny_components(generated=False)
    without.restore(
        {
            name: value
            for name, value in agent.components.tensors().items()
            if not name.startswith("gan.")
        }
    )
    env = tiny.Walk(goal=0.5)
    bare = MetaAgent(without).adapt(env, episodes=2).parameters
    tiny.assert_same_tensors(agent.adapt(env, episodes=2, generated=False).parameters, bare)
    mixed = agent.adapt(env, episodes=2).parameters
    assert not torch.equal(mixed["weight_0"], bare["weight_0"])


def test_adapting_leaves_the_agent_as_it_was(agent):
    before = {name: value.clone() for name, value in agent.components.tensors().items()}
    agent.adapt(tiny.Walk(goal=0.5), episodes=2)
    tiny.assert_same_tensors(agent.components.tensors(), before)


class Broken(tiny.Walk):
    def step(self, action):
        raise RuntimeError("motor burnt")


def with_space(name, space):
    env = tiny.Walk(goal=0.0)
    setattr(env, name, space)
    return env


@pytest.mark.parametrize(
    ("env", "episodes", "message"),
    [
        (with_space("observation_space", spaces.Box(-1, 1, (3,))), 1, "the observation space"),
        (with_space("action_space", spaces.Discrete(3)), 1, "the environment has the action"),
        (with_space("action_space", spaces.Box(-1, 1, (2,))), 1, "the environment has the action"),
        (tiny.Walk(goal=0.0), -1, "episodes is -1; give the number of real episodes, >= 0"),
        (tiny.Walk(goal=0.0, fault=1), 1, "cannot adapt in this .*step 2 returned reward nan"),
        (Broken(goal=0.0), 1, "cannot adapt in this environment.*motor burnt"),
    ],
)
def test_what_it_cannot_adapt_to_is_a_value_error(agent, env, episodes, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        agent.adapt(env, episodes=episodes)
    assert not env.closed


def test_discrete_spaces_must_be_the_same(steering):
    env = tiny.Steer(goal=0.0)
    env.action_space = spaces.Discrete(3, start=1)
    with pytest.raises(ValueError, match="the action space"):
        steering.adapt(env)


def test_actions_fit_an_environment_with_other_bounds(agent):
    """Bounds may differ from the family's: actions must not leave those of the environment."""
    env = with_space("action_space", spaces.Box(-0.01, 0.01, (1,), np.float32))
    policy = agent.adapt(env)
    observations = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    actions, _ = policy.predict(observations)
    assert policy.action_space == env.action_space
    assert np.abs(actions).max() == np.float32(0.01)


@pytest.mark.parametrize("kind", ["box", "discrete"])
def test_stable_baselines3_evaluates_it_and_loads_what_it_writes(request, tmp_path, kind):
    made = request.getfixturevalue("agent" if kind == "box" else "steering")
    env = gymnasium.wrappers.TimeLimit(
        tiny.Walk(goal=0.5) if kind == "box" else tiny.Steer(goal=0.5), tiny.HORIZON
    )
    policy = made.adapt(env)
    assert policy.policy.observation_scale() is not None
    mean, spread = evaluate_policy(policy, Monitor(env), n_eval_episodes=3)
    assert np.isfinite([mean, spread]).all()
    policy.to_sb3(str(tmp_path / "policy.zip"))
    loaded = PPO.load(tmp_path / "policy.zip", device="cpu")
    observations = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    ours, theirs = (
        acting.predict(observations, deterministic=True)[0] for acting in (policy, loaded)
    )
    assert ours.shape == theirs.shape
    if kind == "discrete":
        assert len(np.unique(ours)) > 1
        assert (ours == theirs).all()
    else:
        assert np.ptp(ours) > 0.1
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
