"""A recurrent model's memory: through the episodes of a trial, and no further."""
# ruff: noqa: NPY002 - the legacy generator is what Stable-Baselines3 draws from

import tempfile

import numpy as np
import pytest
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.callbacks import BaseCallback

from metarl_gan.agents.collector import play
from metarl_gan.agents.fresh_state import FreshState
from metarl_gan.agents.global_streams import global_streams
from metarl_gan.agents.sb3_learner import Practice, Sb3Learner
from metarl_gan.agents.told import LastStep
from metarl_gan.envs import ParametricFamily, Uniform
from tests.agents.toys import COUNTDOWNS, Countdown

ENDLESS = ParametricFamily(Countdown, {"length": Uniform(50.0, 99.0)}, horizon=3, name="endless")


class Watch(BaseCallback):
    """Keeps what the rollout buffer held when it was full."""

    def __init__(self):
        super().__init__()
        self.starts, self.states = [], []

    def _on_step(self):
        return True

    def _on_rollout_end(self):
        buffer = self.model.rollout_buffer  # pyrefly: ignore[missing-attribute]
        self.starts.append(buffer.episode_starts.copy())
        self.states.append(buffer.hidden_states_pi[:, 0].copy())


def learner(family=ENDLESS, n_envs=4, n_steps=None):
    practice = Practice(
        family=family,
        draw_tasks=lambda block: family.sample(n_envs, split="train", seed=block),
        n_envs=n_envs,
        make_told=lambda n: LastStep(n, family.action_space),
        episodes_per_trial=2,
        seed=0,
    )

    def model(env, block):
        kwargs = {"lstm_hidden_size": 3, "net_arch": [4]}
        return RecurrentPPO(
            "MlpLstmPolicy",
            env,
            n_steps=n_steps or block,
            n_epochs=2,
            batch_size=12,
            policy_kwargs=kwargs,
        )

    return Sb3Learner(practice, model, discount=0.9)


def test_the_state_lasts_through_a_trial_and_is_reset_between_trials():
    with global_streams(0):
        student, watch = learner(n_steps=12), Watch()
        student.learn(48, [watch])  # a rollout of 12 steps of 4 environments: two blocks
    (starts,), (states,) = watch.starts, watch.states
    # An episode takes 3 steps, a trial 6: starts are where trials start, and nowhere else.
    assert starts[:, 0].tolist() == [1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    assert (starts == starts[:, :1]).all()
    memory = np.abs(states).sum(-1)
    assert (memory[1:] > 0).all()  # across the end of the first episode, after step 3, too
    # The policy starts a new trial as if the state it was handed were zeros.
    policy = student.model.policy
    observation = np.zeros((4, 2 + 3), np.float32)
    handed = states[6][None]
    begun, _ = policy.predict(observation, (handed, handed), np.ones(4, bool), deterministic=True)
    fresh, _ = policy.predict(observation, None, np.ones(4, bool), deterministic=True)
    kept, _ = policy.predict(observation, (handed, handed), np.zeros(4, bool), deterministic=True)
    assert np.array_equal(begun, fresh)
    assert not np.array_equal(kept, fresh)


@pytest.mark.parametrize("family", [ENDLESS, COUNTDOWNS], ids=["whole trials", "early ends"])
def test_resetting_states_by_hand_changes_nothing_but_the_time(family):
    """Rollouts of whole trials; where episodes end early, further trials begin inside them."""
    family = family if family is ENDLESS else _without_faults()
    weights = []
    for callbacks in ([], [FreshState()]):
        with global_streams(0):
            student = learner(family)
            student.learn(3 * 4 * student.trials.block_steps, callbacks)
            weights.append(student.tensors())
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-4, atol=1e-6, msg=name)


def _without_faults():
    return ParametricFamily(Countdown, {"length": Uniform(1.0, 6.0)}, horizon=6, name="short")


def test_a_player_remembers_what_its_environments_did_and_not_what_came_after():
    short = _without_faults()
    tasks = [short.task(length=2.0), short.task(length=5.0)]
    with global_streams(0):
        student = learner(short)
        player = student.player(tasks, deterministic=True)
        play(short.make_vec(tasks, 1), player, seed=0)
        alone = student.player(tasks[:1], deterministic=True)
        play(short.make_vec(tasks[:1], 1), alone, seed=0)
    # The first environment ended after two steps: what its row was shown later is not in it.
    both, one = player.memory, alone.memory
    assert both.state is not None
    assert one.state is not None
    assert both.told[0].tolist() == one.told[0].tolist()
    assert both.told[0, -1] == 1.0
    np.testing.assert_allclose(both.state[0][:, 0], one.state[0][:, 0], rtol=1e-5)
    assert not np.allclose(both.state[0][:, 1], one.state[0][:, 0])


def test_memory_can_be_given_to_several_episodes_each():
    tasks = ENDLESS.sample(2, seed=0)
    with global_streams(0):
        student = learner(ENDLESS)
        player = student.player(tasks, deterministic=True)
        play(ENDLESS.make_vec(tasks, 1), player, seed=0)
        three = player.memory.repeated(3)
        one_each = player.memory
    assert three.told.shape[0] == 6
    assert three.state is not None
    assert one_each.state is not None
    hidden, known = three.state[0], one_each.state[0]
    assert np.array_equal(hidden[:, :3], known[:, :1].repeat(3, axis=1))
    assert np.array_equal(hidden[:, 3:], known[:, 1:].repeat(3, axis=1))
    heir = student.player([t for t in tasks for _ in range(3)], deterministic=True, memory=three)
    assert np.array_equal(heir.memory.told, three.told)


def test_tensors_restore_what_acts():
    with global_streams(0):
        student = learner()
        student.learn(48)
        kept = student.tensors()
        other = learner()
        other.restore(kept)
    for name, value in other.tensors().items():
        assert torch.equal(value, kept[name]), name


def test_learning_leaves_nothing_behind_where_temporary_files_are(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with global_streams(0):
        learner().learn(48)
    assert not list(tmp_path.iterdir())


def test_global_streams_are_put_back():
    torch.manual_seed(1)
    before, numbers = torch.get_rng_state(), str(np.random.get_state())
    with global_streams(3):
        inside = (float(torch.rand(())), np.random.rand())
    assert torch.equal(torch.get_rng_state(), before)
    assert str(np.random.get_state()) == numbers
    with global_streams(3):
        assert (float(torch.rand(())), np.random.rand()) == inside
