"""The command line: what it passes on, what it prints, how it fails. Training is a fake here."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import metarl_gan
from metarl_gan.cli import COMMANDS, INTERRUPTED, MISTAKE, main
from metarl_gan.cli_options import EvaluateOptions, TrainOptions, parse, parse_with_settings
from metarl_gan.config import Config, ConfigError
from metarl_gan.config_io import dump_json, override
from metarl_gan.reports import AdaptationReport, ArmComparison, FidelityReport


@dataclass
class FakeApi:
    """Takes the place of `metarl_gan.api` and remembers what it was asked."""

    calls: list[tuple[str, Any]] = field(default_factory=list)
    error: BaseException | None = None
    generated: bool = True

    def train(
        self, family=None, config=None, preset="quick", out=None, seed=None, **settings
    ) -> SimpleNamespace:
        self.calls.append(
            (
                "train",
                {
                    "family": family,
                    "config": config,
                    "preset": preset,
                    "out": out,
                    "seed": seed,
                    **settings,
                },
            )
        )
        folder = Path(out or settings.get("resume") or "runs/default")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(dump_json(override(Config(), config or {})))
        if self.error is not None:
            raise self.error
        return self.load(folder)

    def load(self, run, *, device=None) -> SimpleNamespace:
        config = Config(generated=self.generated)
        return SimpleNamespace(run_folder=Path(run), real_steps=12_345, config=config)

    def evaluate(self, agent, *, split, tasks, episodes, seed, generated) -> AdaptationReport:
        self.calls.append(("evaluate", {"generated": generated, "seed": seed, "split": split}))
        gain = np.arange(episodes + 1) * (10.0 if generated else 5.0)
        return AdaptationReport(
            family="fake",
            arm="generated" if generated else "real only",
            split=split,
            seed=seed,
            task_ids=tuple(f"t{i}" for i in range(tasks)),
            returns=np.tile(gain, (tasks, 1)),
        )

    def fidelity(self, agent, *, split, tasks, episodes, seed) -> FidelityReport:
        ones = np.ones(tasks)
        return FidelityReport(
            family="fake",
            split=split,
            seed=seed,
            episodes=episodes,
            reference_episodes=9,
            task_ids=("t",) * tasks,
            cosines={"generated": ones},
            held_out_errors={"reward": np.array([0.125])},
            generated_share=ones,
        )

    def record(self, agent, **options) -> SimpleNamespace:
        self.calls.append(("record", options))
        return SimpleNamespace(save=lambda path: path.write_bytes(b"GIF89a"))


@pytest.fixture
def api(monkeypatch) -> FakeApi:
    fake = FakeApi()
    monkeypatch.setitem(sys.modules, "metarl_gan.api", fake)
    monkeypatch.setattr(metarl_gan, "api", fake, raising=False)
    return fake


def fails(capsys, *args: str) -> str:
    """Run the command; it must fail as a user's mistake. Returns the one message."""
    try:
        code = main(args)
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    assert code == MISTAKE
    assert "Traceback" not in captured.err
    assert captured.out == ""
    return captured.err


def test_train_passes_flags_on(api, tmp_path, capsys):
    assert (
        main(
            [
                "train",
                "--family",
                "f",
                "--preset",
                "paper",
                "--seed",
                "3",
                "--out",
                str(tmp_path / "r"),
                "--iterations",
                "7",
                "--learner.inner-steps",
                "3",
                "--policy.hidden-sizes",
                "8",
                "4",
                "--no-generated",
                "--sampler.tasks_per_batch=5",
                "--max-real-steps",
                "1000",
            ]
        )
        == 0
    )
    ((_, call),) = api.calls
    assert call == {
        "family": "f",
        "preset": "paper",
        "seed": 3,
        "out": tmp_path / "r",
        "overwrite": False,
        "iterations": 7,
        "max_real_steps": 1000,
        "config": {
            "generated": False,
            "learner.inner_steps": 3,
            "policy.hidden_sizes": (8, 4),
            "sampler.tasks_per_batch": 5,
        },
    }
    out = capsys.readouterr().out
    assert "12,345 real steps" in out
    assert f"metarl-gan evaluate {tmp_path / 'r'}" in out


def test_flags_win_over_the_file_and_the_file_over_defaults(api, tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(
        "family: from-file\nseed: 5\niterations: 11\ngenerated: false\n"
        "learner:\n  inner_steps: 2\n  inner_lr: 1e-2\n"
    )
    args = ["train", "--config", str(file), "--out", str(tmp_path / "r")]
    assert main([*args, "--seed", "6", "--learner.inner-steps", "4"]) == 0
    call = api.calls[0][1]
    assert (call["family"], call["seed"], call["iterations"]) == (None, 6, None)
    assert call["config"] == {
        "family": "from-file",
        "seed": 5,
        "iterations": 11,
        "generated": False,
        "learner.inner_steps": 4,
        "learner.inner_lr": 0.01,
    }


def test_resume_takes_budgets_and_nothing_else(api, tmp_path, capsys):
    assert main(["train", "--resume", str(tmp_path), "--iterations", "90"]) == 0
    call = api.calls[0][1]
    assert (call["resume"], call["iterations"], call["config"]) == (tmp_path, 90, None)
    capsys.readouterr()
    flags = ["--seed", "1", "--learner.inner-steps", "2"]
    message = fails(capsys, "train", "--resume", str(tmp_path), *flags)
    assert "leave out --seed, --learner.inner-steps" in message


def test_evaluate_compares_both_arms_on_the_same_tasks(api, tmp_path, capsys):
    assert main(["evaluate", str(tmp_path), "--tasks", "4", "--episodes", "2", "--seed", "9"]) == 0
    assert [call for _, call in api.calls] == [
        {"generated": True, "seed": 9, "split": "test"},
        {"generated": False, "seed": 9, "split": "test"},
    ]
    comparison = ArmComparison.load(tmp_path / "evaluation")
    assert [arm.arm for arm in comparison.arms] == ["generated", "real only"]
    assert comparison.differences()["generated"][2].estimate == 10.0
    out = capsys.readouterr().out
    assert "+10.0 [+10.0, +10.0]" in out
    for suffix in ("json", "csv", "png"):
        path = tmp_path / "evaluation" / f"comparison-test.{suffix}"
        assert path.is_file()
        assert str(path) in out


def test_an_agent_without_generator_has_one_arm(api, tmp_path):
    api.generated = False
    assert main(["evaluate", str(tmp_path), "--out", str(tmp_path / "e"), "--tasks", "4"]) == 0
    assert [arm.arm for arm in ArmComparison.load(tmp_path / "e").arms] == ["real only"]


def test_video_is_where_it_says(api, tmp_path, capsys):
    assert main(["video", str(tmp_path), "--tasks", "2", "--split", "ood"]) == 0
    assert api.calls == [("record", {"split": "ood", "tasks": 2, "episodes": 1, "seed": 0})]
    path = tmp_path / "evaluation" / "adaptation.gif"
    assert path.is_file()
    assert str(path) in capsys.readouterr().out.replace("\n", "")


def test_fidelity_and_report(api, tmp_path, capsys):
    assert main(["fidelity", str(tmp_path), "--tasks", "3", "--no-tensorboard"]) == 0
    assert "gradient cosine, generated" in capsys.readouterr().out
    assert not (tmp_path / "tensorboard").exists()
    assert main(["fidelity", str(tmp_path), "--tasks", "3"]) == 0
    assert str(tmp_path / "tensorboard" / "fidelity") in capsys.readouterr().out
    assert list((tmp_path / "tensorboard" / "fidelity").iterdir())
    assert main(["evaluate", str(tmp_path), "--tasks", "3"]) == 0
    (tmp_path / "config.json").write_text(json.dumps({"family": "fake", "learner": {}}))
    (tmp_path / "metrics.jsonl").write_text('{"meta_iteration": 4, "real_steps": 1234.0}\n')
    capsys.readouterr()
    assert main(["report", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for shown in ("family", "1,234", "gradient cosine", "generated − real only"):
        assert shown in out


def test_families_and_check(capsys):
    assert main(["families"]) == 0
    assert "point-goal" in capsys.readouterr().out
    assert main(["check", "point-goal"]) == 0
    assert "checks passed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["trian"], "unknown command 'trian'; did you mean train?"),
        (["train", "--famly", "x"], "unknown option --famly; nearest: --family"),
        (["train", "--learner.inner-step", "3"], "nearest: --learner.inner-steps"),
        (["train", "--learner.inner-steps", "x"], "expected a whole number"),
        (["train", "--learner.inner-steps"], "needs a value: a whole number"),
        (["train", "--policy.activation", "gelu"], "expected one of tanh, relu, silu"),
        (["train", "--device", "a", "--device", "b"], "--device is given twice"),
        (["train", "--config", "missing.yaml"], "missing.yaml: No such file"),
        (["train", "--seed", "x"], "seed"),
        (["evaluate"], "RUN"),
        (["evaluate", "r", "--learner.inner-steps", "3"], "unknown option --learner.inner-steps"),
        (["check", "point-gaol"], "did you mean 'point-goal'"),
        (["report", "nowhere"], "no folder nowhere"),
    ],
)
def test_a_mistake_is_one_message_and_code_2(api, tmp_path, monkeypatch, capsys, args, message):
    monkeypatch.chdir(tmp_path)
    assert message.lower() in fails(capsys, *args).lower()
    assert api.calls == []


def test_errors_of_ours_are_messages_and_others_tracebacks(api, tmp_path, capsys):
    args = ["train", "--out", str(tmp_path / "r")]
    api.error = ConfigError("a contradicts b")
    assert fails(capsys, *args) == "metarl-gan: a contradicts b\n"
    api.error = PermissionError(13, "Permission denied", "/somewhere")
    assert fails(capsys, *args) == "metarl-gan: /somewhere: Permission denied\n"
    api.error = ValueError("shapes do not match")
    with pytest.raises(ValueError, match="shapes"):
        main(args)


def test_ctrl_c_is_130(api, tmp_path, capsys):
    args = ["train", "--out", str(tmp_path)]
    api.error = KeyboardInterrupt()
    assert main(args) == INTERRUPTED
    assert capsys.readouterr().err == "metarl-gan: interrupted\n"
    api.error = KeyboardInterrupt("go on with: metarl-gan train --resume x")
    assert main(args) == INTERRUPTED
    assert "--resume x" in capsys.readouterr().err


def test_a_second_demo_replaces_the_first(api, tmp_path, capsys):
    out = tmp_path / "demo"
    args = ["demo", "--out", str(out), "--tasks", "3", "--iterations", "2"]
    for _ in range(2):
        assert main(args) == 0
    trained = [call for name, call in api.calls if name == "train"]
    assert [call["overwrite"] for call in trained] == [False, True]
    assert (trained[0]["family"], trained[0]["iterations"]) == (Config().family, 2)
    text = capsys.readouterr().out
    for shown in ("gain by adaptation", "comparison-test.png", f"--resume {out}", "tensorboard"):
        assert shown in text


def test_a_demo_that_was_interrupted_may_be_started_again(api, tmp_path):
    out = tmp_path / "demo"
    api.error = KeyboardInterrupt()
    assert main(["demo", "--out", str(out)]) == INTERRUPTED
    api.error = None
    assert main(["demo", "--out", str(out), "--tasks", "3"]) == 0
    assert [call["overwrite"] for name, call in api.calls if name == "train"] == [False, True]


def test_a_demo_leaves_a_run_of_another_kind_alone(api, tmp_path, capsys, monkeypatch):
    (tmp_path / "precious").write_text("")

    def refuse(*_args, overwrite, **_settings) -> None:
        assert not overwrite
        raise ConfigError("out exists")

    monkeypatch.setattr(api, "train", refuse)
    assert main(["demo", "--out", str(tmp_path)]) == MISTAKE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious"]


def test_every_command_has_help(capsys):
    for name in COMMANDS:
        with pytest.raises(SystemExit) as stop:
            main([name, "--help"])
        assert not stop.value.code
        assert f"metarl-gan {name}" in capsys.readouterr().out


def test_train_help_lists_every_setting(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = capsys.readouterr().out
    assert "--learner.inner-steps" in out
    assert "one of maml, fomaml, reptile" in out


def test_options_and_settings_are_told_apart():
    options, settings = parse_with_settings(
        TrainOptions, "train", ["--overwrite", "--logging.tensorboard", "false", "--family", "f"]
    )
    assert (options.overwrite, options.family) == (True, "f")
    assert settings == {"logging.tensorboard": "false"}
    assert parse(EvaluateOptions, "evaluate", ["--tasks", "3", "r"]).run == Path("r")
    _, settings = parse_with_settings(TrainOptions, "train", ["--learner.inner-lr", "-1"])
    assert settings == {"learner.inner_lr": "-1"}


def test_output_that_nobody_reads_is_no_failure():
    """As with `metarl-gan families | head`: no traceback, and the shell's code for it."""
    started = subprocess.Popen(
        [sys.executable, "-m", "metarl_gan", "families"],
        cwd=Path(metarl_gan.__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    started.stdout.close()
    assert started.stderr is not None
    assert started.stderr.read() == ""
    started.stderr.close()
    assert started.wait() == 141


def test_a_workers_pipe_that_breaks_is_one(monkeypatch):
    def broken(_):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("metarl_gan.cli._dispatch", broken)
    with pytest.raises(BrokenPipeError):
        main(["families"])


def test_help_answers_at_once(tmp_path):
    """0.3 s on two idle cores; the best of five, doubled, for machines that are busy."""
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "metarl_gan", "--help"],
            cwd=Path(metarl_gan.__file__).parents[1],
            env=os.environ,
            capture_output=True,
            text=True,
            check=True,
        )
        seconds.append(time.perf_counter() - started)
    assert all(name in done.stdout for name in COMMANDS)
    assert min(seconds) < 0.6
