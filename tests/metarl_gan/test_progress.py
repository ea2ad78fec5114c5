"""Progress: what a person sees, on a terminal and in a pipe."""

import io

import pytest
from rich.console import Console

from metarl_gan.metric_log import FanOutLog
from metarl_gan.progress import LINE_SECONDS, ProgressLog

METRICS = {
    "real_steps": 12_000.0,
    "real_steps_per_second": 3400.0,
    "return_before_adaptation": -40.25,
    "return_after_adaptation": -20.0,
    "discriminator_loss": 1.386,
    "held_out_reward_error": 0.2,
    "generated_share": 0.45,
    "dropped_tasks": 0.0,
    "meta_gradient_norm": 7.0,
}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def progress(*, terminal=False, **settings):
    clock, output = Clock(), io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=100, color_system=None)
    log = ProgressLog(iterations=10, console=console, clock=clock, **settings)
    return log, clock, output


def test_a_piped_run_prints_a_line_every_few_seconds():
    log, clock, output = progress()
    for iteration in range(1, 11):
        clock.now += LINE_SECONDS / 2 + 0.01
        log.log(iteration, METRICS)
    log.close()
    lines = output.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == [
        "[1/10]",
        "[3/10]",
        "[5/10]",
        "[7/10]",
        "[9/10]",
        "[10/10]",
    ]
    for shown in ("real steps 12,000", "3,400", "-40.2", "-20.0", "1.386", "0.2", "45%"):
        assert shown in lines[0]
    assert "dropped" not in lines[0]
    assert "\x1b" not in output.getvalue()


def test_a_terminal_gets_a_table_that_is_redrawn():
    log, _clock, output = progress(terminal=True)
    log.log(1, METRICS)
    log.log(2, {**METRICS, "dropped_tasks": 3.0})
    log.close()
    last = output.getvalue()
    assert "meta-iteration 2/10" in last
    assert "held-out reward error" in last
    assert "dropped tasks" in last
    log.close()


def test_what_is_measured_rarely_stays_on_show():
    log, clock, output = progress()
    log.log(1, {**METRICS, "validation_return": -17.5})
    clock.now = 100.0
    log.log(2, METRICS)
    assert "validation return -17.5" in output.getvalue().splitlines()[-1]


def test_a_generator_that_was_taken_back_is_told_once():
    log, _clock, output = progress()
    for iteration, rollbacks in enumerate([0.0, 1.0, 1.0, 2.0], start=1):
        log.log(iteration, {**METRICS, "gan_rollbacks": rollbacks})
    log.close()
    text = " ".join(output.getvalue().split())
    assert text.count("diverged") == 2
    assert "[2] training of the generator diverged" in text
    assert "generator taken back 2" in text
    assert "generator taken back 0" not in text


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 60.0),  # 4 of 10 in 40 s
        ({"first_iteration": 2}, 120.0),  # 2 of 8 in 40 s
        ({"max_real_steps": 15_000}, 10.0),  # 12 of 15 thousand steps in 40 s
        ({"max_real_steps": 15_000, "first_real_steps": 9_000}, 40.0),
    ],
)
def test_time_left_is_that_of_the_nearer_budget(settings, expected):
    log, clock, _output = progress(**settings)
    assert log.seconds_left() is None
    clock.now = 40.0
    log.log(4, METRICS)
    assert log.seconds_left() == pytest.approx(expected)


def test_fan_out_reaches_every_log():
    first, _, output = progress()
    second, _, other = progress()
    logs = FanOutLog([first, second])
    logs.log(1, METRICS)
    logs.close()
    assert output.getvalue() == other.getvalue() != ""
