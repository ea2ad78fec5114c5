"""A baseline's training that is interrupted goes on, to what it would have been."""

import numpy as np
import pytest
import torch

from metarl_gan.config import ConfigError
from metarl_gan.methods import multi_task_training, validated_training
from metarl_gan.methods.fine_tuned import FineTuned
from metarl_gan.methods.oracle import Oracle
from metarl_gan.methods.rl2 import Rl2
from metarl_gan.methods.training_record import TRAINED, UNFINISHED
from tests.metarl_gan.tiny import Walk, walk

SMALL = {"ppo.epochs": 1, "ppo.hidden_sizes": (8,)}
SAC = {"algorithm": "sac", "sac.random_steps": 20, "sac.batch_size": 8, "sac.hidden_sizes": (8,)}
METHODS = {
    "rl2": Rl2("rl2", {"episodes_per_trial": 2, "tasks_at_once": 4, "lstm_size": 4, **SMALL}),
    "oracle-ppo": Oracle("oracle", {"tasks_at_once": 4, **SMALL}),
    "oracle-sac": Oracle("oracle", {"tasks_at_once": 4, **SAC}),
    "small-replay": Oracle("oracle", {"tasks_at_once": 4, **SAC, "sac.replay_size": 60}),
    "random-actions": Oracle("oracle", {"tasks_at_once": 4, **SAC, "sac.random_steps": 300}),
    "fine-tuned": FineTuned(
        "fine-tuned",
        {"tasks_per_batch": 4, "epochs": 2, "step_sizes": (0.1,), "steps": (1,)},
    ),
}
BUDGET = 400


class PulledThePlugError(Exception):
    """What ends a training half-way."""


def interrupt(monkeypatch, after):
    """Let no more than so many savings of what training goes on from be followed by anything."""
    left = [after]

    def plug(module):
        save = module.save_progress

        def last(*arguments):
            save(*arguments)
            left[0] -= 1
            if not left[0]:
                raise PulledThePlugError

        monkeypatch.setattr(module, "save_progress", last)

    plug(multi_task_training)
    plug(validated_training)


@pytest.mark.parametrize("name", METHODS)
def test_an_interrupted_training_ends_as_if_nothing_had_happened(name, tmp_path, monkeypatch):
    method, family = METHODS[name], walk()
    plan = {"seed": 1, "max_real_steps": BUDGET}
    undisturbed = method.train(family, **plan, folder=tmp_path / "whole")
    torch.manual_seed(123)  # what the process has drawn so far is of no account
    with monkeypatch.context() as patched:
        interrupt(patched, after=3)
        with pytest.raises(PulledThePlugError):
            method.train(family, **plan, folder=tmp_path / "parts")
    np.random.seed(5)  # noqa: NPY002
    Walk.total_steps = 0
    resumed = method.train(family, **plan, folder=tmp_path / "parts")
    spent = resumed.real_steps + resumed.validation_real_steps
    assert 0 < Walk.total_steps < 0.9 * spent  # the rest was not played again
    assert resumed.real_steps == undisturbed.real_steps
    assert resumed.validation_real_steps == undisturbed.validation_real_steps
    for ours, theirs in zip(resumed.learning_curve, undisturbed.learning_curve, strict=True):
        assert ours.real_steps == theirs.real_steps
        assert ours.validation_return == theirs.validation_return
    seconds = [point.seconds for point in resumed.learning_curve]
    assert seconds == sorted(seconds)
    tasks = family.sample(3, split="test", seed=0)
    first, second = (
        trained.adaptation_curve(tasks, 1, seed=0, scored_episodes=1).returns
        for trained in (resumed, undisturbed)
    )
    np.testing.assert_array_equal(first, second)
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {TRAINED}


def test_what_is_unfinished_is_gone_on_with_by_the_same_settings_alone(tmp_path, monkeypatch):
    method, family = METHODS["fine-tuned"], walk()
    with monkeypatch.context() as patched:
        interrupt(patched, after=1)
        with pytest.raises(PulledThePlugError):
            method.train(family, seed=1, max_real_steps=BUDGET, folder=tmp_path)
    with pytest.raises(ConfigError, match="another seed"):
        method.train(family, seed=2, max_real_steps=BUDGET, folder=tmp_path)
    assert (tmp_path / UNFINISHED).is_dir()
