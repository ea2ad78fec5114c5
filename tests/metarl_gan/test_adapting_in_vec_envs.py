"""Vector environments of Stable-Baselines3 as environments to adapt in."""

import numpy as np
import pytest
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from metarl_gan.agent import MetaAgent
from metarl_gan.agents.sb3_environment import LoneEnvironment
from tests.metarl_gan import tiny


def make():
    return tiny.walk().make(tiny.walk().sample(1, split="test", seed=0)[0])


def normalised(*, clip=1e9):
    """With statistics of a few episodes, fixed."""
    venv = VecNormalize(DummyVecEnv([make]), clip_obs=clip)
    venv.reset()
    for _ in range(20):
        venv.step(np.array([[0.3]]))
    venv.training = venv.norm_reward = False
    return venv


@pytest.mark.parametrize("n_steps", [3, 6])
def test_episodes_end_as_they_do_within(n_steps):
    ours, theirs = LoneEnvironment(DummyVecEnv([make])), make()
    for seed in (3, 4):
        np.testing.assert_array_equal(ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0])
        for _ in range(6):
            one, two = (env.step(np.array([0.6], np.float32)) for env in (ours, theirs))
            np.testing.assert_array_equal(one[0], two[0])
            assert one[1] == pytest.approx(two[1])
            assert one[2:4] == two[2:4]
            if one[2] or one[3]:
                break


def test_adapting_through_a_normaliser_is_adapting_within():
    agent = MetaAgent(tiny.trained_components())
    venv = normalised()
    through, within = agent.adapt(venv, seed=2), agent.adapt(make(), seed=2)
    assert venv.observation_space.shape is not None
    rows = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    np.testing.assert_allclose(
        through.predict(np.asarray(venv.normalize_obs(rows)), deterministic=True)[0],
        within.predict(rows, deterministic=True)[0],
        atol=1e-4,
    )
    scores = []
    for policy, env in ((through, venv), (within, DummyVecEnv([make]))):
        env.seed(1)
        mean, _ = evaluate_policy(policy, env, 3, warn=False)  # pyrefly: ignore
        scores.append(mean)
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def test_plain_vector_environments_too(tmp_path):
    agent = MetaAgent(tiny.trained_components())
    policy = agent.adapt(VecMonitor(DummyVecEnv([make])), seed=2)
    expected = agent.adapt(make(), seed=2)
    for name, value in expected.parameters.items():
        assert (policy.parameters[name] == value).all()
    assert policy.action_space == make().action_space


def test_what_cannot_be_undone_is_refused():
    agent = MetaAgent(tiny.trained_components())
    with pytest.raises(ValueError, match="the VecEnv has 2 environments"):
        agent.adapt(DummyVecEnv([make, make]))
    moving = VecNormalize(DummyVecEnv([make]))
    with pytest.raises(ValueError, match=r"still training.*set training = False"):
        agent.adapt(moving)
    with pytest.raises(ValueError, match="make it the outermost one"):
        agent.adapt(VecMonitor(normalised()))
    with pytest.raises(ValueError, match="the environment is 'Pendulum-v1'; give a gymnasium"):
        agent.adapt("Pendulum-v1")  # pyrefly: ignore[bad-argument-type]
