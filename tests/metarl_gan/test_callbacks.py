"""Stable-Baselines3's callbacks follow meta-training."""

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
    StopTrainingOnMaxEpisodes,
    StopTrainingOnRewardThreshold,
)

import metarl_gan
from metarl_gan.callbacks import TrainingModel
from metarl_gan.config import ConfigError
from metarl_gan.run_folder import LAST, RunFolder
from metarl_gan.run_log import read_metrics
from tests.metarl_gan import tiny

EPISODES = 4 * 2
"""Of a meta-iteration: four tasks, one episode of support and one of query."""


class Notes(BaseCallback):
    """Writes down what it is told."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.events, self.steps, self.stop_after = [], [], stop_after

    def _on_training_start(self):
        self.events.append("training_start")
        assert self.training_env.num_envs == EPISODES

    def _on_rollout_start(self):
        self.events.append("rollout_start")

    def _on_step(self):
        self.events.append("step")
        self.steps.append(self.num_timesteps)
        self.logger.record("mine/calls", self.n_calls)
        assert self.locals["metrics"]["real_steps"] == self.num_timesteps
        assert isinstance(self.model, TrainingModel)
        assert self.model.agent.real_steps == self.num_timesteps
        return self.n_calls != self.stop_after

    def _on_rollout_end(self):
        self.events.append("rollout_end")

    def _on_training_end(self):
        self.events.append("training_end")


def train(out, callback, **changes):
    config = tiny.tiny_config(generated=False, **changes)
    return metarl_gan.train(tiny.walk(), config, out=out, callback=callback, progress=False)


def an_env():
    return tiny.walk().make(tiny.walk().sample(1, split="test", seed=0)[0])


def test_events_come_in_order_and_count_real_steps(tmp_path):
    notes = Notes()
    agent = train(tmp_path / "run", notes, iterations=2)
    iteration = ["rollout_start", "step", "rollout_end"]
    assert notes.events == ["training_start", *iteration, *iteration, "training_end"]
    rows = read_metrics(tmp_path / "run")
    assert notes.steps == [row["real_steps"] for row in rows]
    assert notes.steps[-1] == agent.real_steps
    assert [row["mine/calls"] for row in rows] == [1, 2]


def test_following_changes_nothing(tmp_path):
    followed = train(tmp_path / "a", [Notes(), EvalCallback(an_env(), eval_freq=1, verbose=0)])
    alone = train(tmp_path / "b", None)
    tiny.assert_same_tensors(followed.components.tensors(), alone.components.tensors())


def test_false_stops_with_a_checkpoint_and_the_run_can_go_on(tmp_path):
    notes = Notes(stop_after=1)
    train(tmp_path / "run", notes, iterations=3)
    assert notes.events == ["training_start", "rollout_start", "step", "training_end"]
    assert RunFolder.open(tmp_path / "run").counters(LAST)["meta_iterations"] == 1
    more = Notes()
    agent = metarl_gan.train(tiny.walk(), resume=tmp_path / "run", callback=more, progress=False)
    assert more.events.count("step") == 2
    assert more.steps[0] > notes.steps[0]
    whole = train(tmp_path / "whole", None, iterations=3)
    tiny.assert_same_tensors(agent.components.tensors(), whole.components.tensors())


def test_a_function_will_do(tmp_path):
    seen = []

    def stop(local, _):
        seen.append(local["meta_iterations"])
        return False

    train(tmp_path / "run", stop)
    assert seen == [1]
    assert RunFolder.open(tmp_path / "run").counters(LAST)["meta_iterations"] == 1


def test_callbacks_of_stable_baselines3_do_what_they_are_for(tmp_path):
    notes = Notes()
    every = EveryNTimesteps(30, notes)
    evaluation = EvalCallback(
        an_env(),
        eval_freq=2,
        n_eval_episodes=2,
        best_model_save_path=str(tmp_path / "best"),
        verbose=0,
    )
    saving = CheckpointCallback(save_freq=1, save_path=str(tmp_path / "saved"))
    train(tmp_path / "run", [every, evaluation, saving], iterations=2)
    rows = read_metrics(tmp_path / "run")
    assert notes.events
    assert "eval/mean_reward" not in rows[0]
    assert rows[1]["eval/mean_reward"] == pytest.approx(evaluation.last_mean_reward)
    saved = sorted((tmp_path / "saved").glob("*.zip"))
    assert len(saved) == 2
    observation = np.array([0.3, 0.1], np.float32)
    assert an_env().action_space.contains(PPO.load(saved[0]).predict(observation)[0])
    assert (tmp_path / "best" / "best_model.zip").is_file()


def test_callbacks_that_stop(tmp_path):
    train(tmp_path / "a", StopTrainingOnMaxEpisodes(max_episodes=2), iterations=4)
    assert RunFolder.open(tmp_path / "a").counters(LAST)["meta_iterations"] == 2
    good = StopTrainingOnRewardThreshold(reward_threshold=-1e9)
    callback = EvalCallback(an_env(), callback_on_new_best=good, eval_freq=1, verbose=0)
    train(tmp_path / "b", callback, iterations=4)
    assert RunFolder.open(tmp_path / "b").counters(LAST)["meta_iterations"] == 1


def test_what_is_no_callback_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"callback is \['EvalCallback'\].*a list of such"):
        train(tmp_path / "run", ["EvalCallback"])
