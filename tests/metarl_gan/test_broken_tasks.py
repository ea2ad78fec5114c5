"""Environments that raise, crash or hang cost a run their task, and it says so."""

import json

import pytest

import metarl_gan
from metarl_gan.commands import print_dropped
from metarl_gan.config import Config, ConfigError, EnvironmentsConfig
from metarl_gan.config_io import setting_types
from metarl_gan.envs import TaskFamily
from metarl_gan.envs.stepping.backends import BACKENDS
from metarl_gan.run_folder import LAST, RunFolder
from metarl_gan.run_log import read_metrics
from metarl_gan.trainer import Trainer
from metarl_gan.training_run import TrainingError, TrainingRun
from tests.envs.breaking import BreakingFamily
from tests.metarl_gan import tiny

ASYNC = {"environments.backend": "async", "environments.processes": 1}


def learnt(family, **changes):
    trainer = Trainer(tiny.tiny_components(family, **changes), family)
    for _ in range(2):
        trainer.meta_iteration()
    trainer.close()
    return trainer.tensors()


def test_what_is_learnt_does_not_depend_on_how_environments_are_stepped():
    family = BreakingFamily(["none"])
    here = learnt(family)
    for changes in (
        {"environments.backend": "sync"},
        {**ASYNC, "environments.step_timeout_s": 30.0},
        {"environments.backend": "async", "environments.processes": 2},
    ):
        tiny.assert_same_tensors(learnt(family, **changes), here)
    with pytest.raises(ValueError, match="cannot be stepped with backend 'native'"):
        learnt(family, **{"environments.backend": "native"})


@pytest.mark.parametrize(
    ("setting", "value"), [("step_timeout_s", 0.0), ("processes", 0), ("processes", -1)]
)
def test_contradictions_are_refused(setting, value):
    with pytest.raises(ConfigError, match=rf"environments\.{setting} is {value}"):
        EnvironmentsConfig(**{setting: value})


def test_the_settings_are_those_of_the_environments():
    assert setting_types(Config)["environments.backend"].__args__ == BACKENDS
    with pytest.raises(ConfigError, match=r"environments\.backend is 'asink'.*one of auto, native"):
        metarl_gan.train("point-goal", {"environments.backend": "asink"})


def test_all_that_plays_is_stepped_as_the_config_says(tmp_path, monkeypatch):
    asked, make_vec = set(), TaskFamily.make_vec

    def watched(family, tasks, envs_per_task=1, **settings):
        asked.add((len(tasks), envs_per_task, *settings.values()))
        return make_vec(family, tasks, envs_per_task, **settings)

    monkeypatch.setattr(TaskFamily, "make_vec", watched)
    changes = {"environments.backend": "sync", "environments.step_timeout_s": 7.0}
    agent = tiny.train(tmp_path, sampler__query_episodes=3, **changes)
    metarl_gan.evaluate(agent, tiny.walk(), tasks=5, episodes=1)
    metarl_gan.fidelity(agent, tiny.walk(), tasks=6, episodes=1)
    sizes = {size[:2] for size in asked}
    # Support, query, validation's scored and support, evaluation's, fidelity's.
    assert {(4, 1), (4, 3), (2, 5), (2, 1), (5, 5), (5, 1), (6, 1), (6, 20)} <= sizes
    assert {size[2:] for size in asked} == {("sync", 7.0, None)}


def broken_run(tmp_path, family, **changes):
    changes = {"sampler.tasks_per_batch": 6, "sampler.query_episodes": 2, **changes}
    config = tiny.tiny_config(family=family.name, **changes)
    return metarl_gan.train(family, config, out=tmp_path, progress=True)


def run_with(tmp_path, way, monkeypatch, **changes):
    """Two iterations of four tasks, of which one breaks in `way` in the first."""
    family = BreakingFamily(["none", way], ["step"])
    sound = [family.task(scale=0.5 + i / 10, way="none", where="step") for i in range(4)]
    broken = family.task(scale=1.9, way=way, where="step")
    changes = {"sampler.query_episodes": 1, "logging.validate_every": 9, **changes}
    folder = RunFolder.create(tmp_path / way, overwrite=False)
    run = TrainingRun(tiny.tiny_components(family, **changes), family, folder, progress=True)
    batches = [[sound[0], broken, *sound[2:]], sound]
    monkeypatch.setattr(run.trainer.task_sampler, "sample", batches.__getitem__)
    run.train()
    return run.trainer.tensors(), broken, tmp_path / way


def test_a_run_goes_on_without_a_task_that_crashes_and_says_so(tmp_path, monkeypatch, capsys):
    tensors, broken, folder = run_with(tmp_path, "exit", monkeypatch, **ASYNC)
    said, log = capsys.readouterr().err, (folder / "failures.log").read_text()
    cause = (
        f"at step 2 the environment failed in step of task {broken.id!r}, environment 1: "
        "its worker process ended with exit code 3"
    )
    assert f"[1] dropped task {broken.id}: {cause}\n" in said
    assert f"meta-iteration 1, task {broken.id}: {cause}\n" in log
    counters = RunFolder(folder).counters(LAST)
    assert counters["meta_iterations"] == 2
    assert counters["dropped_tasks"] == [{"task_id": broken.id, "reason": cause}]
    assert [row["dropped_tasks"] for row in read_metrics(folder)] == [1, 1]
    # What the others played is what they would have played with no crash beside them.
    raised, broken_one, folder = run_with(tmp_path, "raise", monkeypatch)
    tiny.assert_same_tensors(tensors, raised)
    # A checkpoint does not grow by every traceback.
    [entry] = RunFolder(folder).counters(LAST)["dropped_tasks"]
    assert entry["reason"].endswith(f"{broken_one.id!r}, environment 1: RuntimeError: motor burnt")


def test_tracebacks_are_in_the_log_and_one_line_each_on_the_terminal(tmp_path, capsys):
    family = BreakingFamily(["none", "raise"], ["step"])
    broken_run(tmp_path, family, iterations=1, sampler__tasks_per_batch=12)
    said, log = capsys.readouterr().err, (tmp_path / "failures.log").read_text()
    n_dropped = len(RunFolder.open(tmp_path).counters(LAST)["dropped_tasks"])
    assert n_dropped > 3
    n_validation = read_metrics(tmp_path)[-1]["validation_dropped_tasks"]
    assert n_validation <= 2
    assert said.count("] dropped task ") == 3 + n_validation
    assert f"[1] and {n_dropped - 3} more: see failures.log" in said
    assert said.count("RuntimeError: motor burnt") == 3 + n_validation
    assert "Traceback" not in said
    assert log.count("Traceback") == log.count("in break_down") == n_dropped + n_validation


def test_if_all_break_the_error_says_of_some_and_the_log_of_all(tmp_path):
    family = BreakingFamily(["raise"], ["step"])
    with pytest.raises(TrainingError) as caught:
        broken_run(tmp_path, family)
    message = str(caught.value)
    assert message.count("RuntimeError: motor burnt\n  ") == 5
    assert "\n  and 1 more\n" in message
    assert message.count("Traceback") == 1
    assert (tmp_path / "failures.log").read_text().count("Traceback") == 6


def test_broken_tasks_of_the_validation_are_told_too(tmp_path, monkeypatch, capsys):
    family = BreakingFamily(["none", "raise"], ["step"])
    sound = [family.task(scale=scale, way="none", where="step") for scale in (0.6, 0.7, 0.8)]
    broken = family.task(scale=1.9, way="raise", where="step")
    folder = RunFolder.create(tmp_path, overwrite=False)
    run = TrainingRun(tiny.tiny_components(family), family, folder, progress=True)
    monkeypatch.setattr(run.trainer.task_sampler, "sample", lambda _: sound)
    run.trainer.task_sampler.validation_tasks = [sound[0], broken]
    run.train()
    last = read_metrics(tmp_path)[-1]
    assert last["validation_dropped_tasks"] == 1
    assert last["dropped_tasks"] == 0
    assert f"meta-iteration 2, task {broken.id}: " in (tmp_path / "failures.log").read_text()
    assert f"dropped task {broken.id}" in capsys.readouterr().err


@pytest.mark.parametrize("measure", [metarl_gan.evaluate, metarl_gan.fidelity])
def test_reports_say_why_tasks_were_dropped(tmp_path, capsys, measure):
    family = BreakingFamily(["none", "raise"], ["step"])
    agent = tiny.train(tmp_path / "run", BreakingFamily(["none"]))
    report = measure(agent, family, split="train", tasks=10, episodes=1)
    assert len(report.dropped_tasks) > 3
    for name, reason in zip(report.dropped_tasks, report.drop_reasons, strict=True):
        assert reason.partition("\n")[0].endswith("RuntimeError: motor burnt")
        assert name in reason
        assert "in break_down" in reason
    file = report.save(tmp_path)["json"]
    assert type(report).load(file).drop_reasons == report.drop_reasons
    print_dropped(report, file)
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("dropped task ") for line in lines] == [True, True, True, False]
    assert lines[-1] == f"and {len(report.dropped_tasks) - 3} more: see {file}"
    # A report of an earlier version does not say why.
    content = json.loads(file.read_text())
    del content["drop_reasons"]
    file.write_text(json.dumps(content))
    older = type(report).load(file)
    assert older.dropped_tasks == report.dropped_tasks
    print_dropped(older, file)
    assert f"dropped task {older.dropped_tasks[0]}: \n" in capsys.readouterr().err
