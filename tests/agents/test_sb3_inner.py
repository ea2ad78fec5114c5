"""Algorithms of Stable-Baselines3 as inner learners: their weights out and in, and `train`."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, SAC
from stable_baselines3.common.buffers import ReplayBuffer
from torch import Tensor

from metarl_gan.agents.exploring_policies import EpsilonGreedyPolicy, NoisyActorPolicy
from metarl_gan.agents.global_streams import global_streams
from metarl_gan.agents.networks import task_batched_mlp
from metarl_gan.agents.policies import make_policy
from metarl_gan.agents.sb3_inner import Sb3Inner, Sb3Settings
from metarl_gan.agents.squashed_gaussian import SquashedGaussianPolicy

UNIT = spaces.Box(-1.0, 1.0, (2,), np.float32)
OBSERVATIONS = spaces.Box(-np.inf, np.inf, (3,), np.float32)


def inner(algorithm, *, discrete=False, seed=0, n_updates=2, **options):
    settings = Sb3Settings(
        algorithm=algorithm,
        hidden_sizes=(8, 6),
        activation="tanh",
        learning_rate=1e-2,
        discount=0.9,
        batch_size=4,
        n_updates=n_updates,
        options=options,
    )
    with global_streams(seed):
        return Sb3Inner(settings, 3, 2, discrete=discrete)


def replay(learner, n_rows=12):
    rng = np.random.default_rng(0)
    buffer = ReplayBuffer(n_rows, learner.observation_space, learner.action_space, device="cpu")
    for _ in range(n_rows):
        action = learner.action_space.sample() if learner.settings.algorithm == "DQN" else 0.1
        obs = rng.normal(size=(2, 3)).astype(np.float32)
        actions = np.broadcast_to(action, buffer.action_dim)
        buffer.add(obs[0], obs[1], actions, np.ones(1), np.zeros(1), [{}])
    return buffer


def ours(algorithm, discrete):
    if algorithm == "SAC":
        return SquashedGaussianPolicy(UNIT, 3, 0, (8, 6), "tanh")
    if algorithm == "TD3":
        return NoisyActorPolicy(UNIT, 3, (8, 6), "tanh")
    if algorithm == "DQN":
        return EpsilonGreedyPolicy(spaces.Discrete(2), 3, (8, 6), "tanh")
    space = spaces.Discrete(2) if discrete else UNIT
    return make_policy(OBSERVATIONS, space, hidden_sizes=(8, 6))


CASES = [("PPO", False), ("PPO", True), ("A2C", False), ("SAC", False), ("TD3", False)]
CASES += [("A2C", True), ("DQN", True)]


@pytest.mark.parametrize(("algorithm", "discrete"), CASES)
def test_the_actor_that_is_read_out_acts_as_the_model(algorithm, discrete):
    learner = inner(algorithm, discrete=discrete)
    state = {name: value.unsqueeze(0) for name, value in learner.state().items()}
    policy = ours(algorithm, discrete)
    rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    parameters = {**state, "encoding": torch.zeros(1, 0)}
    actions = policy.mode(parameters, rows.unsqueeze(0))[0]
    theirs, _ = learner.model.predict(rows.numpy(), deterministic=True)
    clipped = actions if discrete else actions.clamp(-1, 1)
    np.testing.assert_allclose(clipped.numpy(), theirs, atol=1e-6)


@pytest.mark.parametrize(("algorithm", "discrete"), CASES)
def test_weights_that_are_put_in_come_out_again(algorithm, discrete):
    first, second = (inner(algorithm, discrete=discrete, seed=seed) for seed in (0, 1))
    state = first.state()
    assert not torch.equal(state["weight_0"], second.state()["weight_0"])
    assert {"weight_0", "bias_0", "weight_2", "bias_2"} <= state.keys()
    n_weights = sum(value.numel() for value in first.model.policy.state_dict().values())
    extra = algorithm == "SAC"  # the entropy's weight
    assert sum(value.numel() for value in state.values()) == n_weights + extra
    second.begin(state)
    for name, value in second.state().items():
        assert torch.equal(value, state[name]), name


@pytest.mark.parametrize(("algorithm", "discrete"), [("SAC", False), ("TD3", False), ("DQN", True)])
def test_training_follows_weights_data_and_seed_alone(algorithm, discrete):
    """Optimisers remember nothing of the task before, and nobody else's randomness matters."""
    learner = inner(algorithm, discrete=discrete)
    learner.settings = replace(learner.settings, n_updates=3)  # TD3's actor learns at every second
    start, buffer, ends = learner.state(), replay(learner), []
    for number in range(2):
        learner.begin(start)
        torch.manual_seed(number)
        before = torch.get_rng_state()
        learner.train(buffer, seed=5)
        assert torch.equal(torch.get_rng_state(), before)
        ends.append(learner.state())
    for name, value in ends[0].items():
        assert torch.equal(value, ends[1][name]), name
    changed = [name for name, value in start.items() if not torch.equal(value, ends[0][name])]
    assert "weight_0" in changed
    # DQN's only other weights, its target's, were the same before.
    assert any(name.startswith("others.") for name in changed) == (algorithm != "DQN")
    learner.train(buffer, seed=5)  # the optimisers remember within a task
    assert not torch.equal(learner.state()["weight_0"], ends[0]["weight_0"])


def test_the_target_network_of_dqn_takes_the_weights_from_before():
    learner = inner("DQN", discrete=True)
    learner.train(replay(learner), seed=0)
    before = learner.state()
    learner.train(replay(learner), seed=1)
    after = learner.state()
    rows = torch.randn(1, 5, 3)

    def q_values(state: dict[str, Tensor]):
        network = {name: v.unsqueeze(0) for name, v in state.items() if "others" not in name}
        return task_batched_mlp(network, rows, "tanh")[0]

    assert isinstance(learner.model, DQN)
    target = learner.model.q_net_target(rows[0])
    torch.testing.assert_close(target, q_values(before))
    assert not torch.allclose(target, q_values(after))


def test_options_reach_the_algorithm_and_unknown_ones_are_refused():
    model = inner("SAC", ent_coef=0.2).model
    assert isinstance(model, SAC)
    assert model.ent_coef == 0.2
    with pytest.raises(ValueError, match=r"SAC.*takes no 'clip_range'.*ent_coef"):
        inner("SAC", clip_range=0.2)
    with pytest.raises(ValueError, match="takes no 'policy'"):
        inner("SAC", policy="CnnPolicy")
    with pytest.raises(ValueError, match="PPO of Stable-Baselines3 refuses its settings"):
        inner("PPO", clip_range_vf=-1.0)
