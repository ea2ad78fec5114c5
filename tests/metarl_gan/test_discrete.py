"""Discrete actions and episodes that end early, through all of the pipeline on real families."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

import metarl_gan
from metarl_gan.agents.collector import collect
from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.agents.policies import make_policy
from metarl_gan.envs import ParametricFamily, Uniform, make_family
from metarl_gan.gan import ConditionalGAN
from metarl_gan.generator_learner import AdversarialLearner
from metarl_gan.imagination import imagine
from metarl_gan.run_log import read_metrics
from metarl_gan.streams import Streams
from tests.agents.toys import stream
from tests.metarl_gan import tiny
from tests.metarl_gan.toys import small_config

IDS = {"cartpole-physics": "CartPole-v1", "acrobot-physics": "Acrobot-v1"}


@pytest.fixture(scope="module", params=IDS)
def agent(request, tmp_path_factory):
    return tiny.train(
        tmp_path_factory.mktemp(request.param) / "run",
        make_family(request.param),
        sampler__tasks_per_batch=3,
        sampler__validation_tasks=1,
    )


def test_training_mixes_in_what_is_imagined(agent):
    first, second = read_metrics(agent.run_folder)
    assert (first["generated_share"], second["generated_share"]) == (0.0, 0.5)
    assert np.isfinite([second["terminated_loss"], second["outer_loss"]]).all()
    horizons = 12 * 500  # two iterations of three tasks with a support and a query episode each
    assert second["real_steps"] <= horizons
    if agent.config.family == "cartpole-physics":  # a pole that falls costs no further steps
        assert second["real_steps"] < horizons / 4


def test_it_adapts_in_gymnasiums_own_environment(agent, tmp_path):
    env = Monitor(gymnasium.make(IDS[agent.config.family]))
    policy = agent.adapt(env, episodes=2)
    mean, spread = evaluate_policy(policy, env, n_eval_episodes=2)
    assert np.isfinite([mean, spread]).all()
    shape = (200, *agent.components.observation_space.shape)
    observations = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    actions, _ = policy.predict(observations, deterministic=True)
    assert all(env.action_space.contains(action) for action in actions)
    assert len(set(actions.tolist())) > 1
    policy.to_sb3(str(tmp_path / "policy.zip"))
    loaded = PPO.load(tmp_path / "policy.zip", device="cpu")
    np.testing.assert_array_equal(loaded.predict(observations, deterministic=True)[0], actions)


def test_it_is_evaluated_and_its_fidelity_measured(agent):
    family = agent.config.family
    report = metarl_gan.evaluate(agent, family, tasks=2, episodes=1)
    assert report.returns.shape == (2, 2)
    assert (np.abs(report.returns) <= 500).all()
    if family == "acrobot-physics":
        return  # the true gradient takes 200 episodes of 500 steps
    found = metarl_gan.fidelity(agent, family, tasks=2)
    assert set(found.gradient_cosine) >= {"generated", "mixed", "real", "shuffled_context"}
    assert np.abs(list(found.gradient_cosine.values())).max() <= 1


class Jump(tiny.Walk):
    """Falls off the line in its first step, unless it stays; choices start at 5."""

    action_space = spaces.Discrete(3, start=5)

    def step(self, action):
        return super().step([3.0 * (int(action) - 6)])


def test_choices_may_start_anywhere_and_episodes_end_before_the_horizon(tmp_path):
    """What stands in the steps that were never taken must be a choice, too: 0 is none here."""
    family = ParametricFamily(Jump, {"goal": Uniform(-1.0, 1.0)}, horizon=40, name="jump")
    agent = tiny.train(tmp_path / "run", family)
    assert agent.run_folder is not None
    last = read_metrics(agent.run_folder)[-1]
    assert np.isfinite(last["outer_loss"])
    assert last["real_steps"] < 2 * 4 * 2 * 40 / 4


def played(family, policy, parameters, tasks, n_episodes, seed):
    return collect(
        family.make_vec(tasks, n_episodes), policy, parameters, stream(seed), seed=seed
    ).batch


def test_imagined_poles_fall_when_real_ones_do():
    """By a policy of its own in each task; tasks that the generator has not seen."""
    family = make_family("cartpole-physics")
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=())
    config = small_config(
        encoder={"hidden_sizes": (64, 64), "min_context": 5},
        generator={"hidden_sizes": (64, 64), "noise_size": 0},
        adversarial={"initial_updates": 250, "adversarial_weight": 0.0, "tasks_per_update": 64},
    )
    torch.manual_seed(0)
    gan = ConditionalGAN(family.observation_space, family.action_space, config)

    def parameters(n_tasks, seed):
        drawn = expand_over_tasks(policy.initial_parameters(stream()), n_tasks)
        drawn["bias_0"] = 0.5 * torch.randn(n_tasks, 2, generator=stream(seed))
        return drawn

    tasks = family.sample(100, seed=0)
    batches = [played(family, policy, parameters(100, seed), tasks, 2, seed) for seed in range(2)]
    AdversarialLearner(gan, config, Streams(0)).learn(tasks, batches)

    unseen, acting = family.sample(20, split="test", seed=0), parameters(20, 7)
    real = played(family, policy, acting, unseen, 20, 8)
    context = gan.infer(real.take_envs(slice(0, 2)), stream(9))
    starts = gan.space.draw_starts((20, 20), stream(10))
    imagined = imagine(gan, context, policy, acting, starts, 200, stream(11))
    length, imagined_length = (float(b.valid.sum(-1).float().mean()) for b in (real, imagined))
    assert imagined_length == pytest.approx(length, rel=0.3)
    assert imagined.terminated.any(-1).float().mean() > 0.95
