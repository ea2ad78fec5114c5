"""Ablations: equal arms, honest tables, and jobs that can be stopped. Mostly on made-up results."""

import json
import os
import shlex
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import metarl_gan
from metarl_gan import ablate_command, ablation, ablation_worker, cli, job_pool, training_run
from metarl_gan.ablation import ablate
from metarl_gan.ablation_jobs import EvaluationPlan, Job
from metarl_gan.ablation_plan import AblationPlan
from metarl_gan.ablation_report import grids, save_report, verdict
from metarl_gan.ablation_results import differences_in_cost, read_results
from metarl_gan.ablation_summary import AblationSummary
from metarl_gan.arms import BUILT_IN, DEFAULT_ARMS, Arm, choose_arms, parse_arm
from metarl_gan.cli_options import AblateOptions, parse_with_settings
from metarl_gan.config import Config, ConfigError
from metarl_gan.config_io import override, to_plain
from metarl_gan.job_pool import Work, run_all
from metarl_gan.report_files import ReportError, write_json
from metarl_gan.reports import AdaptationReport, FidelityReport
from tests.metarl_gan import tiny
from tests.test_documentation import blocks, commands

FAMILY = "point-goal"  # of which no episode ends early: equal iterations are equal real steps
SETTINGS = {name: value for name, value in tiny.TINY.items() if name != "family"}
PAGE = "docs/ablation.md"
QUICK = EvaluationPlan(tasks=3, fidelity_tasks=0)
SPENT = {
    "real_steps": 2400,
    "meta_iterations": 2,
    "outer_steps": 8,
    "generator_updates": 25,
    "simulator_steps": 0,
}


def tiny_plan(**changes):
    plan = AblationPlan(
        family=FAMILY,
        arms=choose_arms(["none", "gan"]),
        seeds=(0, 1),
        settings=SETTINGS,
        evaluation=QUICK,
    )
    return replace(plan, **changes)


def gains(summary, arm):
    """The estimates of the difference to `none`, by real episodes."""
    [difference] = [found.difference for found in summary.arms if found.name == arm]
    assert difference
    return [interval.estimate for interval in difference]


def made_up(out, arm, seed, returns, *, tasks=None, settings=(), **spent):
    """Write a result: `returns` [tasks, episodes + 1], without generated data one less."""
    chosen = BUILT_IN.get(arm, Arm(name=arm))
    names = tasks or [f"t{index}" for index in range(len(returns))]
    config = override(Config(), {**chosen.overrides, "seed": seed, **dict(settings)})

    def report(values):
        return AdaptationReport(
            family="fake", arm="a", split="test", seed=0, task_ids=tuple(names), returns=values
        ).to_dict()

    returns = np.asarray(returns, dtype=float)
    reports = {"real_only": report(returns - 1.0 if config.uses_generator else returns)}
    means = {"gradient_cosine": {"generated": 0.5 + seed / 10}, "mean_generated_share": 0.75}
    if config.uses_generator:
        reports["generated"] = report(returns)
    content = {
        "kind": "ablation-job",
        "arm": {"name": arm, "overrides": chosen.overrides},
        "seed": seed,
        "command": "metarl-gan ablate …",
        "versions": {"python": "3"},
        "config": to_plain(config),
        "spent": {**SPENT, "generator_updates": 25 if config.uses_generator else 0, **spent},
        "training_seconds": 10.0 + seed,
        "training_generated_share": 0.5,
        "reports": reports,
        "fidelity": {"computed": means} if config.uses_generator else None,
    }
    write_json(out / arm / f"seed-{seed}.json", content)


@pytest.fixture
def two_arms(tmp_path):
    """Two seeds, four tasks: gan is better by 1, 2, 3, 6 with seed 0 and by 2 more with seed 1."""
    for seed in (0, 1):
        after = np.array([-9.0, -8.0, -7.0, -6.0]) - seed
        before = np.full(4, -20.0)
        gain = np.array([1.0, 2.0, 3.0, 6.0]) + 2 * seed
        made_up(tmp_path, "none", seed, np.stack([before, after], axis=1))
        made_up(tmp_path, "gan", seed, np.stack([before, after + gain], axis=1))
    return tmp_path


# Arms and plans


def test_arms_differ_from_the_common_config_in_their_overrides_alone():
    assert set(DEFAULT_ARMS) < set(BUILT_IN)
    jobs = tiny_plan(arms=tuple(BUILT_IN.values())).jobs(Path("o"), Path("r"))
    common = next(job for job in jobs if job.arm.name == "gan").config
    for job in jobs[: len(BUILT_IN)]:
        assert job.config == override(common, job.arm.overrides)
        assert (job.run, job.result) == (
            Path("r", job.arm.name, "seed-0"),
            Path("o", job.arm.name, "seed-0.json"),
        )
    assert not BUILT_IN["none"].overrides["generated"]
    assert [job.config.seed for job in jobs] == [0] * len(BUILT_IN) + [1] * len(BUILT_IN)


def test_an_arm_wins_over_a_setting_and_a_setting_over_the_preset():
    settings = {"iterations": 7, "generator.members": 2}
    plan = tiny_plan(arms=choose_arms(["gan", "ensemble"]), settings=settings, preset="quick")
    gan, ensemble, *_ = plan.jobs(Path("o"), Path("r"))
    assert (gan.config.iterations, gan.config.generator.members) == (7, 2)
    assert ensemble.config.generator.members == 5


def test_own_arms():
    arm = parse_arm(["wide", "generator.hidden-sizes=64,64", "adversarial.adversarial_weight=-0"])
    assert arm.name == "wide"
    assert arm.overrides["generator.hidden_sizes"] == (64, 64)
    assert [chosen.name for chosen in choose_arms(["none"], [arm])] == ["none", "wide"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: choose_arms(["simulater"]), "unknown arm 'simulater'; did you mean 'simulator'"),
        (lambda: choose_arms([], [Arm(name="gan")]), "'gan' is built in"),
        (lambda: parse_arm(["wide"]), "setting=value"),
        (lambda: parse_arm(["wide", "members"]), "wide members: expected setting=value"),
        (lambda: parse_arm(["w", "seed=1"]), "sets seed or family"),
        (lambda: parse_arm(["w", "generator.member=1"]), "nearest: generator.members"),
        (lambda: Arm(name="../x"), "letters, digits"),
        (lambda: tiny_plan(seeds=(3,)), "seeds is [3]; give two or more"),
        (lambda: tiny_plan(seeds=(3, 3)), "each once"),
        (lambda: tiny_plan(arms=()), "arms is []"),
        (lambda: tiny_plan(arms=choose_arms(["gan", "gan"])), "each once"),
        (lambda: tiny_plan(settings={"seed": 1}), "seed cannot be a setting of all arms"),
        (lambda: EvaluationPlan(episodes=0), "episodes is 0"),
        (lambda: ablate(tiny_plan(), "o", jobs=0), "jobs is 0"),
        (
            lambda: ablate(tiny_plan(settings={"generated": False}), "o"),
            "arms none and gan are the same",
        ),
        (
            lambda: ablate(tiny_plan(evaluation=EvaluationPlan(split="validation")), "o"),
            "split is 'validation'",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(make, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        make()
    assert message in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_the_command_of_a_plan_asks_for_that_plan():
    own = parse_arm(["own", "policy.hidden_sizes=8,4", "augmentation.rejection=true"])
    evaluation = EvaluationPlan(split="train", tasks=7, episodes=2, seed=3, fidelity_tasks=0)
    plan = tiny_plan(
        arms=choose_arms(["none", "shuffled"], [own]), seeds=(4, 2), evaluation=evaluation
    )
    words = shlex.split(plan.command(Path("the out")))
    assert words[:2] == ["metarl-gan", "ablate"]
    options, flags = parse_with_settings(AblateOptions, "ablate", words[2:])
    assert ablate_command.plan_of(options, flags) == (plan, Path("the out"))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--out", "o"], "--family is needed"),
        (["--family", "f"], "--out is needed"),
        (["--family", "f", "--out", "o", "--seed", "1"], "give --seeds"),
        (["--family", "f", "--out", "o", "--arms", "gam"], "did you mean 'gan'"),
        (["--family", "f", "--out", "o", "--seeds", "1"], "seeds is [1]"),
        (["--report", "o", "--tasks", "3"], "give it alone"),
        (["--report", "nowhere"], "nowhere holds no results"),
        (["--famly", "f"], "nearest: --family"),
    ],
)
def test_a_mistake_is_one_message_and_code_2(args, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["ablate", *args]) == cli.MISTAKE
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""


# Fairness


def test_equal_cost_is_fair(two_arms):
    made_up(two_arms, "simulator", 0, [[-20.0, -5.0]] * 4, generator_updates=0)
    summary, _ = save_report(two_arms)
    assert summary.fair
    assert verdict(summary).startswith("A fair comparison")
    assert "equal updates of it (25)" in verdict(summary)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"real_steps": 2500}, "gan, seed 1: 2,500 real steps, others 2,400"),
        ({"outer_steps": 9}, "gan, seed 1: 9 outer steps, others 8"),
        ({"generator_updates": 24}, "gan, seed 1: 24 generator updates, others 25"),
        (
            {"settings": {"learner.outer_lr": 0.5}},
            "gan, seed 1: learner.outer_lr is 0.5, in none 0.001",
        ),
    ],
)
def test_unequal_cost_is_not_fair_and_the_arm_is_named(two_arms, changes, line):
    # Further arms say which of two unequal ones is the odd one out.
    for arm in ("ensemble", "diffusion"):
        made_up(two_arms, arm, 1, [[-20.0, -5.0]] * 4)
    made_up(two_arms, "gan", 1, [[-20.0, -5.0]] * 4, **changes)
    assert differences_in_cost(read_results(two_arms)) == (line,)


def test_what_is_not_fair_is_not_called_so(two_arms):
    made_up(two_arms, "gan", 1, [[-20.0, -5.0]] * 4, real_steps=2500)
    summary, files = save_report(two_arms)
    assert not summary.fair
    table = files["md"].read_text()
    assert table.startswith("NOT a fair comparison")
    assert "- gan, seed 1: 2,500 real steps" in table
    assert json.loads(files["json"].read_text())["fair"] is False


# Numbers


def test_numbers_by_hand(two_arms):
    summary, files = save_report(two_arms)
    none, gan = summary.arms
    assert (none.name, gan.name, summary.tasks) == ("none", "gan", 4)
    # Over 8 runs × tasks: the middle four of -10 -9 -9 -8 -8 -7 -7 -6.
    assert none.returns[1].estimate == pytest.approx(-8.0)
    # Differences 1 2 3 6 and 3 4 5 8: the middle four are 3 3 4 5.
    assert gains(summary, "gan") == [0.0, pytest.approx(3.75)]
    assert gan.difference
    assert gan.difference[1].low >= 1.0
    assert none.difference is None
    assert none.over_none is None
    # Pairs of seeds per task: gan -8 -7 (+gain) against none -9 -10 and so on: always better.
    assert gan.over_none == (0.5, 1.0)
    assert none.over_gan == (0.5, 0.0)
    assert gan.real_only
    assert gan.real_only[1].estimate == pytest.approx(gan.returns[1].estimate - 1.0)
    assert none.real_only is None
    assert gan.cosines == {"generated": pytest.approx(0.55)}
    assert (gan.share, gan.training_share, gan.training_seconds) == (0.75, 0.5, 10.5)
    stored = json.loads(files["json"].read_text())["arms"][1]
    assert stored["difference"][1]["estimate"] == pytest.approx(3.75)


def test_a_task_that_one_evaluation_dropped_is_left_out_of_all(two_arms):
    path = two_arms / "gan" / "seed-1.json"
    content = json.loads(path.read_text())
    for report in content["reports"].values():
        report["dropped_tasks"] = [report["task_ids"].pop(0)]
        report["returns"].pop(0)
    path.write_text(json.dumps(content))
    summary, _ = save_report(two_arms)
    assert (summary.tasks, summary.dropped) == (3, 1)
    # Differences 2 3 6 and 4 5 8, one cut off each end: 3 4 5 6.
    assert gains(summary, "gan")[1] == pytest.approx(4.5)


def test_the_tables_show_what_the_summary_holds(two_arms):
    made_up(two_arms, "gan", 1, [[-20.0, -5.0]] * 4, simulator_steps=600)
    summary = AblationSummary.of(read_results(two_arms))
    returns, comparisons, fidelities, costs = grids(summary)
    assert [row[0] for row in returns.rows] == ["none", "gan", "gan, same agent, real only"]
    assert comparisons.header == ("arm", "difference to none", "P(> none)", "P(> gan)")
    assert comparisons.rows[0] == ("none, after 1 real episode", "–", "–", "0.00")
    assert comparisons.rows[1][1].startswith("+")
    assert fidelities.header == ("arm", "generated", "share", "share in training")
    assert fidelities.rows == (("none", "–", "–", "50%"), ("gan", "0.55", "75%", "50%"))
    assert dict(zip(costs.header, costs.rows[1], strict=True)) == {
        "arm": "gan",
        "real steps": "2,400",
        "outer steps": "8",
        "generator updates": "25",
        "simulator steps": "300",
        "seconds": "10",
    }
    assert "| gan | 2,400 |" in costs.as_markdown()


def test_what_is_missing_is_said(two_arms):
    (two_arms / "gan" / "seed-1.json").unlink()
    summary, _ = save_report(two_arms)
    assert summary.missing == ("gan has no result of seed 1",)
    assert gains(summary, "gan")[1] == pytest.approx(2.5)
    (two_arms / "none" / "seed-1.json").unlink()
    assert "One seed only" in verdict(save_report(two_arms)[0])


def test_report_makes_the_files_again_from_the_results_alone(two_arms, capsys):
    first = {path: path.read_bytes() for path in save_report(two_arms)[1].values()}
    for path in first:
        path.unlink()
    assert cli.main(["ablate", "--report", str(two_arms)]) == 0
    assert {path: path.read_bytes() for path in first} == first
    assert "P(> none)" in capsys.readouterr().out


def test_other_files_are_refused(two_arms):
    (two_arms / "gan" / "seed-1.json").write_text('{"kind": "ablation-job"}')
    with pytest.raises(ReportError, match=r"seed-1\.json is no whole result"):
        save_report(two_arms)


# Jobs


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """A module that the pool can run: what it does is its argument, as Python."""
    (tmp_path / "obey.py").write_text("import sys\nexec(sys.argv[1])\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name, code):
        return Work(name=name, module="obey", argument=code, log=tmp_path / "logs" / name)

    return make


def test_a_failed_job_is_reported_and_the_others_go_on(worker, tmp_path):
    said: list[str] = []
    touch = "import pathlib; pathlib.Path({!r}).touch()"
    work = [
        worker("bad", "print('hopeless'); sys.exit(3)"),
        *(worker(f"good{i}", touch.format(str(tmp_path / f"{i}"))) for i in range(3)),
    ]
    [failure] = run_all(work, 2, said.append)
    assert (failure.work.name, failure.code, failure.tail) == ("bad", 3, "hopeless")
    assert all((tmp_path / f"{i}").exists() for i in range(3))
    assert sum(line.startswith("start") for line in said) == 4
    assert any("FAILED bad" in line for line in said)


def test_no_more_processes_than_asked_for_of_one_thread_each(worker, tmp_path):
    code = (
        "import os, pathlib, time; at = time.time(); time.sleep(0.3); "
        f"pathlib.Path({str(tmp_path)!r}, sys.argv[0][-1] + str(at)).write_text("
        "f\"{at} {time.time()} {os.environ['OMP_NUM_THREADS']}\")"
    )
    assert run_all([worker(f"w{i}", code) for i in range(2)], 1, lambda _: None) == ()
    spans = sorted(path.read_text().split() for path in tmp_path.glob("y*"))
    assert len(spans) == 2
    assert float(spans[0][1]) <= float(spans[1][0])
    assert {threads for *_, threads in spans} == {"1"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_all(worker, tmp_path, number):
    code = (
        "import os, pathlib, time; "
        f"pathlib.Path({str(tmp_path)!r}, f'pid{{os.getpid()}}').touch(); time.sleep(60)"
    )

    def interrupt():
        while len(list(tmp_path.glob("pid*"))) < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt, match=f"stopped by {number.name}; the same command"):
        run_all([worker(f"w{i}", code) for i in range(3)], 2, lambda _: None)
    thread.join()
    for path in tmp_path.glob("pid*"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name[3:]), 0)


def test_a_process_that_does_not_end_is_killed(worker, tmp_path, monkeypatch):
    monkeypatch.setattr(job_pool, "PATIENCE_SECONDS", 0.2)
    code = (
        "import signal, time, pathlib; signal.signal(15, signal.SIG_IGN); "
        f"pathlib.Path({str(tmp_path / 'deaf')!r}).touch(); time.sleep(60)"
    )

    def interrupt():
        while not (tmp_path / "deaf").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_all([worker("deaf", code)], 1, lambda _: None)
    assert time.monotonic() - started < 30


def tiny_jobs(folder, **changes):
    return tiny_plan(**changes).jobs(folder, folder / "runs")


def test_a_job_is_written_and_read_back(tmp_path):
    for job in tiny_jobs(tmp_path, arms=tuple(BUILT_IN.values())):
        assert Job.read(job.write()) == job


def test_an_interrupted_job_goes_on_to_the_same_result(tmp_path, monkeypatch):
    changes = {
        "arms": choose_arms(["gan"]),
        "settings": {**SETTINGS, "logging.checkpoint_every": 1},
    }
    whole, *_ = tiny_jobs(tmp_path / "whole", **changes)
    parts, *_ = tiny_jobs(tmp_path / "parts", **changes)
    assert ablation_worker.main([str(whole.write())]) == 0
    iterate, calls = training_run.Trainer.meta_iteration, []

    def stops(trainer):
        calls.append(trainer.counters.meta_iterations)
        if calls == [0, 1]:
            raise KeyboardInterrupt
        return iterate(trainer)

    monkeypatch.setattr(training_run.Trainer, "meta_iteration", stops)
    assert ablation_worker.main([str(parts.write())]) == ablation_worker.INTERRUPTED
    assert not parts.result.exists()
    assert not parts.is_done()
    assert ablation_worker.main([str(parts.write())]) == 0
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
        ablation_worker.work(job)
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


def test_a_failed_job_ends_the_command_with_1(worker, tmp_path, monkeypatch, capsys):
    (tmp_path / "fails.py").write_text("raise SystemExit('out of luck')\n")
    monkeypatch.setattr(ablation, "WORKER", "fails")
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
        for job in (Job.read(Path(item.argument)) for item in work):
            made_up(Path("results/hinge"), job.arm.name, job.config.seed, [[-2.0, -1.0, -1.0]])
        return ()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ablation, "run_all", in_no_time)
    lines = [words for words in commands(PAGE) if words[0] == "metarl-gan"]
    assert len(lines) >= 2
    for words in lines:
        options, flags = parse_with_settings(AblateOptions, "ablate", words[2:])
        plan, out = ablate_command.plan_of(options, flags)
        assert plan.jobs(out, out / "runs")
    [snippet] = blocks(PAGE, "python")
    exec(compile(snippet, PAGE, "exec"), {"__name__": "__main__"})
    assert "hinge -1.0 (0.5, 0.5, 0.5)" in capsys.readouterr().out
