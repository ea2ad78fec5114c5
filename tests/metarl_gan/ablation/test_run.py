"""Ablations as a whole: jobs that can be stopped and are not made twice, the command, the page."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

import metarl_gan
from metarl_gan import cli, training_run
from metarl_gan.ablation import command, run, worker
from metarl_gan.ablation.arms import BUILT_IN, choose_arms
from metarl_gan.ablation.jobs import AblationJob, EvaluationPlan
from metarl_gan.ablation.report import save_report
from metarl_gan.ablation.results import read_results
from metarl_gan.ablation.run import ablate
from metarl_gan.cli_options import AblateOptions, parse_with_settings
from metarl_gan.config import ConfigError
from metarl_gan.config_io import to_plain
from metarl_gan.jobs import job as job_module
from metarl_gan.jobs.worker import INTERRUPTED
from metarl_gan.report_files import write_json
from metarl_gan.reports import FidelityReport
from tests.metarl_gan import tiny
from tests.metarl_gan.ablation.made_up import QUICK, SETTINGS, made_up, tiny_plan
from tests.test_documentation import blocks, commands

PAGE = "docs/ablation.md"


def tiny_jobs(folder, **changes):
    return tiny_plan(**changes).jobs(folder, folder / "runs")


def test_a_job_is_written_and_read_back(tmp_path):
    for job in tiny_jobs(tmp_path, arms=tuple(BUILT_IN.values())):
        assert AblationJob.read(job.write()) == job


def test_an_interrupted_job_goes_on_to_the_same_result(tmp_path, monkeypatch):
    changes = {
        "arms": choose_arms(["gan"]),
        "settings": {**SETTINGS, "logging.checkpoint_every": 1},
    }
    whole, *_ = tiny_jobs(tmp_path / "whole", **changes)
    parts, *_ = tiny_jobs(tmp_path / "parts", **changes)
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
    assert calls == [0, 1, 1]  # the first meta-iteration was not made again
    ours, theirs = (json.loads(job.result.read_text()) for job in (parts, whole))
    assert ours["reports"]["generated"]["returns"] == theirs["reports"]["generated"]["returns"]
    assert ours["spent"] == theirs["spent"]


def test_a_result_of_other_settings_is_not_taken_for_this_one(tmp_path):
    jobs = tiny_jobs(tmp_path)
    write_json(
        jobs[0].result,
        {"config": to_plain(jobs[0].config), "evaluation": vars(QUICK)},
    )
    assert jobs[0].is_done()
    changed = {**SETTINGS, "iterations": 3}
    with pytest.raises(ConfigError, match=r"seed-0\.json was made with iterations 2, now 3"):
        ablate(tiny_plan(settings=changed), tmp_path)
    with pytest.raises(ConfigError, match="evaluated in another way"):
        ablate(tiny_plan(evaluation=EvaluationPlan(tasks=4, fidelity_tasks=0)), tmp_path)
    write_json(jobs[1].run / "config.json", to_plain(jobs[1].config))
    with pytest.raises(ConfigError, match=r"runs/gan/seed-0 was made with iterations 2, now 3"):
        tiny_jobs(tmp_path, settings=changed)[1].is_done()


def fake_fidelity(agent, **asked):
    assert asked == {"split": "test", "tasks": 2, "episodes": 1, "seed": 0}
    cosines = {"generated": np.full(2, 0.5), "real": np.full(2, 0.25)}
    return FidelityReport(
        family="fake",
        split="test",
        seed=0,
        episodes=1,
        reference_episodes=9,
        task_ids=("a", "b"),
        cosines=cosines,
        held_out_errors={"reward": np.array([0.125])},
        generated_share=np.ones(2),
    )


def test_the_command_makes_what_is_missing_and_compares(tmp_path, monkeypatch, capsys):
    """All but one of the jobs are done here; the last is done by a process of the command's."""
    monkeypatch.setattr(metarl_gan, "fidelity", fake_fidelity)
    plan = tiny_plan(
        arms=choose_arms(["gan", "none"]), evaluation=EvaluationPlan(tasks=3, fidelity_tasks=2)
    )
    *done, last = plan.jobs(tmp_path, tmp_path / "runs")
    for job in done:
        worker.work(job)
    before = tiny.fingerprint(tmp_path / "gan")
    assert cli.main(shlex.split(plan.command(tmp_path))[1:]) == 0
    shown = capsys.readouterr().out
    for text in ("3 of 4 jobs have their result", f"done   {last.name}", "A fair comparison"):
        assert text in shown
    assert tiny.fingerprint(tmp_path / "gan") == before
    results = read_results(tmp_path)
    assert [(name, [r.seed for r in arm]) for name, arm in results.items()] == [
        ("none", [0, 1]),
        ("gan", [0, 1]),
    ]
    none, gan = results["none"][1], results["gan"][1]
    assert gan.spent["outer_steps"] == 2 * tiny.TINY["learner.outer_epochs"]
    assert (gan.spent["generator_updates"], none.spent["generator_updates"]) == (4, 0)
    assert none.spent["real_steps"] == gan.spent["real_steps"] == 2 * 4 * 2 * 100
    assert (set(gan.reports), set(none.reports)) == ({"generated", "real_only"}, {"real_only"})
    assert none.fidelity is None
    assert save_report(tmp_path)[0].arms[1].cosines == {"generated": 0.5, "real": 0.25}


def test_a_failed_job_ends_the_command_with_1(tmp_path, monkeypatch, capsys):
    (tmp_path / "fails.py").write_text("raise SystemExit('out of luck')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(run, "WORKER", "fails")
    plan = tiny_plan()
    *done, last = plan.jobs(tmp_path, tmp_path / "runs")
    returns = [[-1.0, -1.0]]
    for job in done:
        made_up(tmp_path, job.arm.name, job.config.seed, returns)
        content = json.loads(job.result.read_text())
        content |= {"config": to_plain(job.config), "evaluation": vars(QUICK)}
        write_json(job.result, content)
    with pytest.raises(SystemExit) as stop:
        cli.main(shlex.split(plan.command(tmp_path))[1:])
    assert stop.value.code == 1
    shown = capsys.readouterr()
    assert f"{last.name} failed with exit code 1" in shown.err
    assert "out of luck" in shown.err
    assert "Incomplete: gan has no result of seed 1" in shown.out


def test_the_page_asks_for_what_there_is(tmp_path, monkeypatch, capsys):
    """Its commands are plans, and its script runs; training is left out."""

    def in_no_time(work, n_processes, say):
        for job in (AblationJob.read(Path(item.argument)) for item in work):
            made_up(Path("results/hinge"), job.arm.name, job.config.seed, [[-2.0, -1.0, -1.0]])
        return ()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job_module, "run_all", in_no_time)
    lines = [words for words in commands(PAGE) if words[0] == "metarl-gan"]
    assert len(lines) >= 2
    for words in lines:
        options, flags = parse_with_settings(AblateOptions, "ablate", words[2:])
        plan, out = command.plan_of(options, flags)
        assert plan.jobs(out, out / "runs")
    [snippet] = blocks(PAGE, "python")
    exec(compile(snippet, PAGE, "exec"), {"__name__": "__main__"})
    assert "hinge -1.0 (0.5, 0.5, 0.5)" in capsys.readouterr().out
