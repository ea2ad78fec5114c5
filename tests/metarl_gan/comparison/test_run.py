"""Comparisons as a whole: jobs that can be stopped and are not made twice, the command."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from metarl_gan import cli, presets, training_run
from metarl_gan.cli_options import CompareOptions, parse
from metarl_gan.comparison import run, worker
from metarl_gan.comparison.command import plan_of
from metarl_gan.comparison.jobs import ComparisonJob, EvaluationPlan
from metarl_gan.comparison.results import Expected
from metarl_gan.comparison.run import compare
from metarl_gan.config import ConfigError
from metarl_gan.envs import make_family
from metarl_gan.jobs import job as job_module
from metarl_gan.jobs.worker import INTERRUPTED
from metarl_gan.methods.meta_agent import TrainedMetaAgent
from metarl_gan.report_files import write_json
from tests.metarl_gan import tiny
from tests.metarl_gan.comparison.made_up import BUDGET, SETTINGS, made_up, tiny_plan
from tests.test_documentation import blocks, commands

PAGE = "docs/compare.md"


def tiny_jobs(folder, **changes):
    return tiny_plan(**changes).jobs(folder, folder / "runs")


def read(job):
    return json.loads(job.result.read_text())


def test_a_result_holds_all_there_is_to_know(tmp_path):
    job, *_ = tiny_jobs(tmp_path)
    tiny.Walk.total_steps = 0
    assert worker.main([str(job.write())]) == 0
    content = read(job)
    family = make_family(job.family)
    tasks = family.sample(3, split="test", seed=0)
    assert content["adaptation"]["task_ids"] == [task.id for task in tasks]
    assert len(content["adaptation"]["returns"]) == 3
    assert all(len(row) == 2 for row in content["adaptation"]["returns"])
    steps = [content[f"{kind}real_steps"] for kind in ("", "validation_", "evaluation_")]
    assert sum(steps) == tiny.Walk.total_steps
    assert 0 < content["real_steps"] <= BUDGET
    assert content["learning_curve"][-1]["real_steps"] == content["real_steps"]
    assert content["training"]["settings"]["learner.inner_steps"] == 2
    assert content["command"] == tiny_plan().command(tmp_path)
    assert {"python", "torch"} <= set(content["versions"])
    assert all(content["seconds"][kind] > 0 for kind in ("training", "wall", "processor"))


def test_an_interrupted_job_goes_on_to_the_same_result(tmp_path, monkeypatch):
    (whole, *_), (parts, *_) = tiny_jobs(tmp_path / "whole"), tiny_jobs(tmp_path / "parts")
    assert worker.main([str(whole.write())]) == 0
    iterate, calls = training_run.Trainer.meta_iteration, []

    def stops(trainer):
        calls.append(trainer.counters.meta_iterations)
        if calls == [0, 1]:
            raise KeyboardInterrupt
        return iterate(trainer)

    monkeypatch.setattr(training_run.Trainer, "meta_iteration", stops)
    assert worker.main([str(parts.write())]) == INTERRUPTED
    assert not parts.result.exists()
    assert not parts.is_done()
    assert worker.main([str(parts.write())]) == 0
    ours, theirs = read(parts), read(whole)
    assert ours["adaptation"]["returns"] == theirs["adaptation"]["returns"]
    assert ours["real_steps"] == theirs["real_steps"]
    scores = [
        [(point["real_steps"], point["validation_return"]) for point in content["learning_curve"]]
        for content in (ours, theirs)
    ]
    assert scores[0] == scores[1]


def test_agents_are_evaluated_on_another_split_without_being_trained_again(tmp_path):
    plan = tiny_plan(seeds=(0,))
    other = replace(plan, evaluation=replace(plan.evaluation, split="train"))
    [first, *_] = plan.jobs(tmp_path / "test", tmp_path / "runs")
    [second, *_] = other.jobs(tmp_path / "train", tmp_path / "runs")
    assert worker.main([str(first.write())]) == 0
    tiny.Walk.total_steps = 0
    assert worker.main([str(second.write())]) == 0
    ours, theirs = read(second), read(first)
    assert tiny.Walk.total_steps == ours["evaluation_real_steps"]
    for same in ("training", "real_steps", "learning_curve"):
        assert ours[same] == theirs[same]
    assert not {*ours["adaptation"]["task_ids"]} & {*theirs["adaptation"]["task_ids"]}


def test_a_method_that_overshoots_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(TrainedMetaAgent, "real_steps", property(lambda _: BUDGET + 1))
    job, *_ = tiny_jobs(tmp_path)
    with pytest.raises(worker.BudgetExceededError, match=r"took 101 real .* 100 were"):
        worker.work(job)
    assert not job.result.exists()


def test_a_process_of_other_presets_is_an_error(tmp_path, monkeypatch):
    job, *_ = tiny_jobs(tmp_path)
    monkeypatch.setitem(presets.GENERAL, "default", {"policy.initial_std": 0.25})
    with pytest.raises(ConfigError, match=r"policy\.initial_std 0\.5, now 0\.25"):
        worker.work(job)


def test_a_result_of_other_settings_is_not_taken_for_this_one(tmp_path):
    first, second, *_ = tiny_jobs(tmp_path)
    write_json(first.result, first.content())
    assert first.is_done()
    assert not second.is_done()
    with pytest.raises(ConfigError, match=r"seed-0\.json was made with budget_real_steps 100, now"):
        compare(tiny_plan(budget_real_steps=200), tmp_path)
    with pytest.raises(ConfigError, match="evaluated in another way"):
        compare(tiny_plan(evaluation=EvaluationPlan(tasks=4)), tmp_path)
    other = tuple(
        type(choice)(
            name=choice.name,
            method=choice.method,
            overrides={**SETTINGS, "learner.inner_lr": "0.25"},
        )
        for choice in tiny_plan().methods
    )
    with pytest.raises(ConfigError, match=r"with settings\.learner\.inner_lr 0\.05, now 0\.25"):
        compare(tiny_plan(methods=other), tmp_path)
    # Nor is a run that was begun with other settings gone on with.
    second.run.mkdir(parents=True)
    second.write()
    assert not second.is_done()
    with pytest.raises(ConfigError, match=r"runs/reptile-no-generator/seed-0 was made with"):
        tiny_jobs(tmp_path, methods=other)[1].is_done()
    assert not (tmp_path / "plan.json").exists()


def test_the_command_makes_what_is_missing_and_compares(tmp_path, capsys):
    """All but one of the jobs are done here; the last is done by a process of the command's."""
    plan = tiny_plan()
    *done, last = plan.jobs(tmp_path, tmp_path / "runs")
    for job in done:
        worker.work(job)
    before = tiny.fingerprint(tmp_path / "maml")
    assert cli.main(shlex.split(plan.command(tmp_path))[1:]) == 0
    shown = capsys.readouterr().out
    for text in ("3 of 4 jobs have their result", f"done   {last.name}", "P(> maml)"):
        assert text in shown
    assert tiny.fingerprint(tmp_path / "maml") == before
    assert "Every method had 100 real steps of training per seed." in shown
    assert Expected.read(tmp_path).jobs[-1] == ("reptile-no-generator", 1)
    for name in ("summary.json", "table.md", "returns.csv", "learning.csv", "comparison.png"):
        assert plan.command(tmp_path).encode() in (tmp_path / name).read_bytes().replace(
            b'\\"', b'"'
        )


def test_a_failed_job_ends_the_command_with_1(tmp_path, monkeypatch, capsys):
    (tmp_path / "fails.py").write_text("raise SystemExit('out of luck')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(run, "WORKER", "fails")
    plan = tiny_plan(seeds=(0,))
    done, last = plan.jobs(tmp_path, tmp_path / "runs")
    worker.work(done)
    with pytest.raises(SystemExit) as stop:
        cli.main(shlex.split(plan.command(tmp_path))[1:])
    assert stop.value.code == 1
    shown = capsys.readouterr()
    assert f"{last.name} failed with exit code 1" in shown.err
    assert "out of luck" in shown.err
    assert "Incomplete: reptile-no-generator has no result of seed 0" in shown.out


def test_where_all_jobs_fail_there_is_no_report(tmp_path, monkeypatch):
    (tmp_path / "fails.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(run, "WORKER", "fails")
    done = compare(tiny_plan(seeds=(0,)), tmp_path / "out", say=lambda _: None)
    assert done.summary is None
    assert [failure.code for failure in done.failures] == [3, 3]


def test_the_page_asks_for_what_there_is(tmp_path, monkeypatch, capsys):
    """Its commands are plans, and its script runs; training is left out."""

    def in_no_time(work, n_processes, say):
        for job in (ComparisonJob.read(Path(item.argument)) for item in work):
            made_up(Path("results/steps"), job.choice.name, job.seed, [[-2.0, -1.0, -1.0]])
        return ()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job_module, "run_all", in_no_time)
    lines = [words for words in commands(PAGE) if words[:2] == ["metarl-gan", "compare"]]
    plans = [parse(CompareOptions, "compare", words[2:]) for words in lines]
    asked = [options for options in plans if not (options.list_methods or options.report)]
    assert len(asked) >= 2
    for options in asked:
        plan, out = plan_of(options)
        assert plan.jobs(out, out / "runs")
    [snippet] = blocks(PAGE, "python")
    exec(compile(snippet, PAGE, "exec"), {"__name__": "__main__"})
    assert "one-step 0.5" in capsys.readouterr().out


def test_a_result_from_before_there_was_a_setting_had_it_as_usual(tmp_path):
    job, *_ = tiny_jobs(tmp_path)
    content = job.content()
    training = content["training"]
    assert isinstance(training, dict)
    older = {name: value for name, value in job.settings.items() if name != "learner.outer_lr"}
    assert len(older) == len(job.settings) - 1
    write_json(job.result, {**content, "training": {**training, "settings": older}})
    assert job.is_done()
    # Whoever asks for another value than the usual does not get the older result.
    asked = tuple(
        replace(choice, overrides={**choice.overrides, "learner.outer_lr": "0.5"})
        for choice in tiny_plan().methods
    )
    with pytest.raises(ConfigError, match=r"with settings\.learner\.outer_lr 0\.001, now 0\.5"):
        compare(tiny_plan(methods=asked), tmp_path)
    # What is of this very command is not usual: the older result did not have it.
    older = {name: value for name, value in job.settings.items() if name != "learner.inner_steps"}
    write_json(job.result, {**content, "training": {**training, "settings": older}})
    with pytest.raises(ConfigError, match=r"with settings\.learner\.inner_steps 5, now 2"):
        job.is_done()
