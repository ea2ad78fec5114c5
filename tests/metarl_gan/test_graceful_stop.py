"""Signals: the first asks, the second acts; a command ends with 130 and a run to resume."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import metarl_gan
from metarl_gan import cli
from metarl_gan.graceful_stop import SIGNALS, GracefulStop, sigterm_as_ctrl_c
from metarl_gan.run_folder import LAST, RunFolder
from tests.metarl_gan import tiny


def handlers():
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_only_asks(number, capfd):
    before = handlers()
    with GracefulStop("stopping soon") as stop:
        assert stop.requested is None
        os.kill(os.getpid(), number)
        assert stop.requested == number
        assert handlers() == before  # the second one acts as usual
    assert handlers() == before
    assert capfd.readouterr().err == "\nstopping soon\n"


def test_the_second_ctrl_c_is_immediate():
    with GracefulStop() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_put_back_after_an_error():
    before = handlers()
    with pytest.raises(ZeroDivisionError), GracefulStop():
        raise ZeroDivisionError
    assert handlers() == before


def in_thread(work):
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(work()))
    thread.start()
    thread.join()
    return outcome


def test_outside_of_the_main_thread_nothing_is_changed():
    before = handlers()

    def work():
        with GracefulStop() as stop, sigterm_as_ctrl_c():
            return stop.requested, handlers() == before

    assert in_thread(work) == [(None, True)]


def test_sigterm_is_ctrl_c_within_a_command():
    before = handlers()
    with sigterm_as_ctrl_c(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    assert handlers() == before


@pytest.mark.parametrize("number", SIGNALS)
def test_any_command_ends_with_130(monkeypatch, capsys, number):
    before = handlers()
    monkeypatch.setattr(cli, "_dispatch", lambda _: os.kill(os.getpid(), number))
    assert cli.main(["evaluate"]) == 130
    assert capsys.readouterr().err == "metarl-gan: interrupted\n"
    assert handlers() == before


SETTINGS = [
    f"--{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
    for name, value in tiny.TINY.items()
    if name not in {"family", "iterations"}
] + ["--iterations=1000000"]


def run_until(condition, command, number, out):
    """Start a command, send it a signal once there is what `condition` looks for."""
    root = Path(metarl_gan.__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-m", "metarl_gan", command, "--out", str(out), *SETTINGS],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 60
        while not condition() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    return process.returncode, errors


@pytest.mark.parametrize(
    ("command", "number"),
    [("train", signal.SIGTERM), ("demo", signal.SIGINT), ("demo", signal.SIGTERM)],
    ids=str,
)
def test_a_stopped_command_is_130_and_its_run_can_be_resumed(tmp_path, command, number):
    out = tmp_path / "run"
    code, errors = run_until(
        lambda: (
            (out / "metrics.jsonl").is_file()
            and (out / "metrics.jsonl").read_text().count("\n") >= 2
        ),
        command,
        number,
        out,
    )
    assert code == 130, errors
    assert f"stopped by {number.name}; go on with: metarl-gan train --resume {out}" in errors
    assert "Traceback" not in errors
    done = RunFolder.open(out).counters(LAST)["meta_iterations"]
    assert done >= 2
    metarl_gan.train(resume=out, iterations=done + 1, progress=False)
    assert RunFolder.open(out).counters(LAST)["meta_iterations"] == done + 1
