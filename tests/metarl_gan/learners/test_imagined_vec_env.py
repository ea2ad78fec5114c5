"""The generator as a vector environment: episodes, their ends, and models that learn in it."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.vec_env import VecMonitor

from metarl_gan.agent import MetaAgent
from metarl_gan.gan import ConditionalGAN
from metarl_gan.generator import Generated
from metarl_gan.learners.imagined_vec_env import ImaginedVecEnv
from metarl_gan.learners.mixed_replay_buffer import MixedReplayBuffer
from tests.agents.toys import random_episodes
from tests.metarl_gan import tiny
from tests.metarl_gan.toys import BOX, OBSERVATIONS, known, small_gan


def a_gan(action_space=BOX) -> ConditionalGAN:
    gan = small_gan(action_space=action_space)
    n_choices = 4 if isinstance(action_space, spaces.Discrete) else None
    gan.space.update(random_episodes((4, 2, 8), n_choices=n_choices))
    gan.average()
    return gan


def an_env(gan=None, action_space=BOX, **changes):
    gan = gan or a_gan(action_space)
    arguments = {"n_envs": 3, "horizon": 4, **changes}
    context = known(torch.full((1, 3), 0.2))
    return ImaginedVecEnv(
        gan, context, observation_space=OBSERVATIONS, action_space=action_space, **arguments
    )


def play(env, n_steps, action=0.5):
    """Observations, rewards, ends and infos of some steps."""
    actions = np.full((env.num_envs, 2), action, np.float32)
    return [env.step(actions) for _ in range(n_steps)]


def test_episodes_are_cut_at_the_horizon_and_begin_anew():
    gan = a_gan()
    gan.generate = never_ending(gan)
    env = an_env(gan)
    start = env.reset()
    assert np.asarray(start).shape == (3, 3)
    steps = play(env, 5)
    for number, (observations, rewards, dones, infos) in enumerate(steps):
        assert rewards.shape == dones.shape == (3,)
        assert dones.all() == (number == 3)
        assert all(info["generated"] for info in infos)
        assert [info["TimeLimit.truncated"] for info in infos] == dones.tolist()
        if number == 3:
            reached = np.stack([info["terminal_observation"] for info in infos])
            # A step goes 1 further; what is returned is where the next episodes begin.
            np.testing.assert_allclose(reached, steps[2][0] + 1, rtol=1e-5)
            assert not np.allclose(observations, reached)
            np.testing.assert_allclose(steps[4][0], observations + 1, rtol=1e-5)


def never_ending(gan, *, ends=()):
    """A generator that goes 1 further in each component and rewards with the first action."""
    space = gan.space
    space.state.variance.fill_(100.0)  # so that nothing runs away

    def generate(context, states, actions, stream):
        here = space.state.denormalise(states)
        change = torch.ones_like(here) if space.residual else here + 1
        logits = torch.full((*states.shape[:2], 1), -100.0)
        logits[:, list(ends)] = 100.0
        return Generated(
            changes=space.change.normalise(change),
            rewards=space.reward.normalise(actions[..., :1]),
            terminated_logits=logits,
        )

    return generate


def test_what_the_generator_terminates_is_no_time_limit():
    gan = a_gan()
    gan.generate = never_ending(gan, ends=[1])
    env = an_env(gan, horizon=1)
    env.reset()
    _, rewards, dones, infos = play(env, 1, action=100.0)[0]
    assert dones.tolist() == [True] * 3
    assert [info["TimeLimit.truncated"] for info in infos] == [True, False, True]
    np.testing.assert_allclose(rewards, 1.0, rtol=1e-5)  # actions are clipped to the space


def test_the_same_seed_gives_the_same_episodes():
    def run(env):
        return [env.reset(), *[part for step in play(env, 9) for part in step[:3]]]

    env = an_env(seed=3)
    first = run(env)
    for again in (run(an_env(a_gan(), seed=3)), (env.seed(3), run(env))[1]):
        assert all(np.array_equal(ours, theirs) for ours, theirs in zip(first, again, strict=True))
    other = run(an_env(seed=4))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize(
    ("kind", "space", "arguments"),
    [
        (PPO, BOX, {"n_steps": 8, "batch_size": 8, "n_epochs": 1}),
        (SAC, BOX, {"learning_starts": 4, "replay_buffer_class": MixedReplayBuffer}),
        (DQN, spaces.Discrete(4), {"learning_starts": 4}),
    ],
)
def test_models_of_stable_baselines3_learn_in_it(kind, space, arguments):
    env = VecMonitor(an_env(a_gan(space), space))
    model = kind("MlpPolicy", env, seed=0, device="cpu", **arguments)
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    model.learn(24)
    changed = [
        name for name, value in model.policy.state_dict().items() if (value != before[name]).any()
    ]
    assert changed
    assert model.ep_info_buffer
    if isinstance(model, SAC):
        assert isinstance(model.replay_buffer, MixedReplayBuffer)
        assert (model.replay_buffer.size(), model.replay_buffer.generated.size()) == (0, 24)


def test_an_agent_makes_one_of_what_it_has_seen():
    family = tiny.walk()
    components = tiny.trained_components(family)
    agent = MetaAgent(components)
    context = random_episodes((1, 2, 6), n_obs=2, n_act=1)
    env = agent.imagined_env(context, n_envs=2, seed=1)
    assert (env.num_envs, env.observation_space) == (2, family.observation_space)
    env.reset()
    observations, *_ = env.step(np.zeros((2, 1)))
    assert np.isfinite(np.asarray(observations)).all()


def test_what_makes_no_sense_is_refused():
    context = known(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="context is of 2 tasks"):
        ImaginedVecEnv(
            a_gan(), context, observation_space=OBSERVATIONS, action_space=BOX, horizon=3
        )
    with pytest.raises(ValueError, match="has not learnt yet"):
        an_env(small_gan())
    with pytest.raises(ValueError, match="n_envs is 0"):
        an_env(n_envs=0)
