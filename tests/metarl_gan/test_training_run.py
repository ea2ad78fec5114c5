"""A run on disk: resuming equals never having stopped, whatever ended it."""

import json
import os
import signal

import pytest
import torch

import metarl_gan
from metarl_gan import training_run
from metarl_gan.run_folder import BEST, LAST, RunFolder
from metarl_gan.run_log import read_metrics
from metarl_gan.training_run import StoppedBySignal, TrainingError, TrainingRun
from tests.metarl_gan import tiny

UNEQUAL = {"training_seconds"}
"""By the clock, and so never twice the same."""


def state(out, name=LAST):
    """Tensors, and counters without those of the clock."""
    _, tensors, kept = RunFolder.open(out).load(name)
    counters = {key: value for key, value in kept["counters"].items() if key not in UNEQUAL}
    return tensors, counters, kept["learner"]


def assert_same_runs(ours, theirs):
    for name in (LAST, BEST):
        tensors, *rest = state(ours, name)
        others, *other_rest = state(theirs, name)
        tiny.assert_same_tensors(tensors, others)
        assert rest == other_rest
    rows, other_rows = (
        [{**row, "real_steps_per_second": None} for row in read_metrics(out)]
        for out in (ours, theirs)
    )
    assert rows == other_rows


ARMS = {
    "generator": {},
    "gated": {"augmentation__mode": "gated", "augmentation__gate_zero_error": 1e6},
    "reptile": {"learner__algorithm": "reptile"},
    "real only": {"generated": False},
    "elites": {"generator__kind": "ensemble", "generator__members": 3, "generator__elites": 2},
    "diffusion": {"generator__kind": "diffusion", "generator__diffusion_steps": 2},
    "simulator": {"generator__kind": "simulator"},
    "maml": {"generator__adaptation": "maml"},
    "described": {"encoder__descriptor": True, "encoder__posterior": True},
    "by validation": {
        "augmentation__mode": "gated",
        "augmentation__gate": "validation",
        "augmentation__gate_zero_error": 1e6,
    },
    "rolled back": {"adversarial__max_gradient_norm": 1e-9},
}


@pytest.mark.parametrize("arm", ARMS)
def test_2n_iterations_equal_n_and_a_resumed_n_to_the_bit(tmp_path, arm):
    tiny.train(tmp_path / "whole", iterations=4, **ARMS[arm])
    tiny.train(tmp_path / "parts", iterations=2, **ARMS[arm])
    before = state(tmp_path / "parts")
    agent = metarl_gan.train(tiny.walk(), resume=tmp_path / "parts", iterations=4, progress=False)
    assert_same_runs(tmp_path / "whole", tmp_path / "parts")
    after = state(tmp_path / "parts")
    assert any(not torch.equal(before[0][name], value) for name, value in after[0].items())
    assert after[1]["meta_iterations"] == 4
    assert agent.run_folder == tmp_path / "parts"
    assert json.loads((tmp_path / "parts" / "config.json").read_text())["iterations"] == 4


@pytest.mark.parametrize("arm", ["generator", "by validation"])
def test_a_run_that_ends_between_validations_resumes_exactly(tmp_path, arm):
    """Validations are every second iteration; that of the end leaves no trace in what goes on."""
    tiny.train(tmp_path / "whole", iterations=6, **ARMS[arm])
    tiny.train(tmp_path / "parts", iterations=3, **ARMS[arm])
    metarl_gan.train(tiny.walk(), resume=tmp_path / "parts", iterations=6, progress=False)
    tensors, *rest = state(tmp_path / "whole")
    others, *other_rest = state(tmp_path / "parts")
    tiny.assert_same_tensors(tensors, others)
    assert rest == other_rest
    rows, other_rows = (read_metrics(tmp_path / out) for out in ("whole", "parts"))
    assert "validation_return" in other_rows[2]
    del rows[2], other_rows[2]
    for row in (*rows, *other_rows):
        del row["real_steps_per_second"]
    assert rows == other_rows


def test_the_agent_at_the_end_may_be_the_best(tmp_path, monkeypatch):
    scores = iter([-2.0, -1.0])
    real = training_run.Evaluator.adaptation_curve

    def scored(evaluator, tasks, episodes):
        found = real(evaluator, tasks, episodes)
        found.returns[:] = next(scores)
        return found

    monkeypatch.setattr(training_run.Evaluator, "adaptation_curve", scored)
    assert tiny.train(tmp_path, iterations=3).meta_iterations == 3
    # But a run that goes on does not know of it.
    assert state(tmp_path)[1]["best_validation_return"] == -2.0


def test_the_learnt_is_in_the_checkpoint(tmp_path):
    """What a resumed run could miss without a failure: each of these, if it were left out."""
    tiny.train(tmp_path, iterations=2)
    tensors, counters, learner = state(tmp_path)
    for part in (
        "meta_learner.parameters.",
        "meta_learner.step_sizes.",
        "meta_learner.optimiser.",
        "observations.",
        "gan.encoder.",
        "gan.averaged_generator.",
        "gan.discriminator.",
        "gan.space.reward.",
        "gan.space.starts",
        "learner.replay.",
        "learner.generator_optimiser.",
        "learner.discriminator_optimiser.",
    ):
        assert any(name.startswith(part) for name in tensors), part
    assert learner["gan_updates"] == 4
    assert counters["real_steps"] > 0


def test_a_crash_costs_only_what_came_after_the_checkpoint(tmp_path, monkeypatch):
    """Killed in iteration 4, resumed from the checkpoint of iteration 2: the same end."""
    settings = {"iterations": 5, "logging__checkpoint_every": 2}
    tiny.train(tmp_path / "whole", **settings)
    iterate, calls = training_run.Trainer.meta_iteration, []

    def dies(trainer):
        calls.append(trainer)
        if len(calls) == 4:
            raise MemoryError
        return iterate(trainer)

    monkeypatch.setattr(training_run.Trainer, "meta_iteration", dies)
    with pytest.raises(MemoryError):
        tiny.train(tmp_path / "crashed", **settings)
    monkeypatch.undo()
    assert state(tmp_path / "crashed")[1]["meta_iterations"] == 2
    metarl_gan.train(tiny.walk(), resume=tmp_path / "crashed", progress=False)
    assert_same_runs(tmp_path / "whole", tmp_path / "crashed")


def stopping_at(monkeypatch, iteration, *numbers):
    """Send signals to this process in the middle of a meta-iteration."""
    iterate = training_run.Trainer.meta_iteration

    def stopped(trainer):
        if trainer.counters.meta_iterations == iteration - 1:
            for number in numbers:
                os.kill(os.getpid(), number)
        return iterate(trainer)

    monkeypatch.setattr(training_run.Trainer, "meta_iteration", stopped)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_after_its_iteration_and_resuming_equals_no_stop(
    tmp_path, monkeypatch, number
):
    tiny.train(tmp_path / "whole", iterations=4)
    stopping_at(monkeypatch, 3, number)
    with pytest.raises(StoppedBySignal, match=rf"{number.name}.*--resume .*stopped"):
        tiny.train(tmp_path / "stopped", iterations=4)
    monkeypatch.undo()
    assert state(tmp_path / "stopped")[1]["meta_iterations"] == 3
    metarl_gan.train(tiny.walk(), resume=tmp_path / "stopped", progress=False)
    assert_same_runs(tmp_path / "whole", tmp_path / "stopped")


def test_a_second_ctrl_c_is_immediate_and_even_the_first_iteration_can_be_resumed(
    tmp_path, monkeypatch
):
    stopping_at(monkeypatch, 1, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as stop:
        tiny.train(tmp_path / "run", iterations=2)
    assert not isinstance(stop.value, StoppedBySignal)
    monkeypatch.undo()
    assert state(tmp_path / "run")[1]["meta_iterations"] == 0
    metarl_gan.train(tiny.walk(), resume=tmp_path / "run", progress=False)
    tiny.train(tmp_path / "whole", iterations=2)
    assert_same_runs(tmp_path / "whole", tmp_path / "run")


def test_the_best_checkpoint_is_that_of_the_best_validation(tmp_path, monkeypatch):
    scores = iter([-3.0, -1.0, -2.0])
    real = training_run.Evaluator.adaptation_curve

    def scored(evaluator, tasks, episodes):
        found = real(evaluator, tasks, episodes)
        found.returns[:] = next(scores)
        return found

    monkeypatch.setattr(training_run.Evaluator, "adaptation_curve", scored)
    agent = tiny.train(tmp_path, iterations=3, logging__validate_every=1)
    assert agent.meta_iterations == 2
    counters = state(tmp_path, BEST)[1]
    assert counters["best_validation_return"] == -1.0
    # What was spent after the best iteration was spent all the same.
    assert agent.real_steps == state(tmp_path)[1]["real_steps"] > counters["real_steps"]


def test_validation_is_on_the_validation_tasks_and_at_its_iterations(tmp_path, monkeypatch):
    seen, real = [], training_run.Evaluator.adaptation_curve

    def watched(evaluator, tasks, episodes):
        seen.append([task.id for task in tasks])
        return real(evaluator, tasks, episodes)

    monkeypatch.setattr(training_run.Evaluator, "adaptation_curve", watched)
    components, folder = tiny.tiny_components(iterations=3), tmp_path / "run"
    run = TrainingRun(
        components, tiny.walk(), RunFolder.create(folder, overwrite=False), progress=False
    )
    run.train()
    held_out = [task.id for task in run.trainer.task_sampler.validation_tasks]
    assert seen == [held_out] * 2  # after iteration 2 of 3, and at the end
    rows = read_metrics(folder)
    assert ["validation_return" in row for row in rows] == [False, True, True]


def test_all_tasks_broken_says_which_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    family = tiny.faulty()
    monkeypatch.setattr(tiny.Walk, "total_steps", 0)
    iterate = training_run.Trainer.meta_iteration

    def breaks(trainer):
        if trainer.counters.meta_iterations == 1:
            monkeypatch.setattr(
                trainer.task_sampler, "sample", lambda _: [family.task(goal=0.5, fault=1)] * 4
            )
        return iterate(trainer)

    monkeypatch.setattr(training_run.Trainer, "meta_iteration", breaks)
    with pytest.raises(TrainingError) as error:
        tiny.train(tmp_path, family, iterations=5)
    message = str(error.value)
    assert "meta-iteration 1" in message
    assert "faulty/goal=0.5,fault=1: step 2 returned reward nan" in message
    _, counters, _ = state(tmp_path)
    assert counters["meta_iterations"] == 1
    # The steps of broken tasks were taken, too.
    assert counters["real_steps"] == tiny.Walk.total_steps
    assert len(counters["dropped_tasks"]) >= 4
    assert metarl_gan.load(tmp_path).meta_iterations == 1


def test_tensorboard_and_progress_are_written_where_asked(tmp_path, capsys):
    config = tiny.tiny_config(logging__tensorboard=True)
    metarl_gan.train(tiny.walk(), config, out=tmp_path / "a", progress=True)
    assert list((tmp_path / "a").glob("tensorboard/events*"))
    assert "".join(capsys.readouterr()) != ""
    tiny.train(tmp_path / "b")
    assert "".join(capsys.readouterr()) == ""
    assert not (tmp_path / "b" / "tensorboard").exists()
    assert (tmp_path / "b" / "metrics.jsonl").is_file()
