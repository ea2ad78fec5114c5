"""Tables: what a reader must find in them, on a terminal or not."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from metarl_gan.reports import AdaptationReport, ArmComparison, FidelityReport
from metarl_gan.statistics import Interval
from metarl_gan.tables import (
    PIPED_COLUMNS,
    adaptation_table,
    fidelity_table,
    make_console,
    settings_table,
    show_interval,
)
from metarl_gan.transition_report import Terminations, TransitionFidelity


def printed(table) -> str:
    output = io.StringIO()
    Console(file=output, width=PIPED_COLUMNS).print(table)
    return output.getvalue()


def arm(name: str, shift: float, **changes) -> AdaptationReport:
    returns = np.tile([-40.0, -20.0 + shift], (6, 1))
    return AdaptationReport(
        family="point-goal",
        arm=name,
        split="test",
        seed=0,
        returns=returns,
        task_ids=tuple("abcdef"),
        floors={"zero_action": -39.7},
        reference=-0.5,
        training_real_steps=12_000,
        evaluation_real_steps=500,
        **changes,
    )


def test_intervals_read_like_a_sentence():
    interval = Interval(estimate=1.234, low=-0.5, high=12.34)
    assert show_interval(interval) == "1.23 [-0.50, 12.3]"
    assert show_interval(interval, signed=True) == "+1.23 [-0.50, +12.3]"


def test_success_rates_are_shown_where_they_are_known():
    solved = np.tile([0.0, 0.5], (6, 1))
    known, unknown = arm("generated", 5, successes=solved), arm("real only", 0)
    text = printed(adaptation_table(ArmComparison(arms=(known, unknown))))
    [row] = [line for line in text.splitlines() if "success rate," in line]
    assert " ".join(row.split()) == "success rate, generated 0% [0%, 0%] 50% [50%, 50%]"
    assert "solved in any step" in " ".join(text.split())
    assert "uccess" not in printed(adaptation_table(ArmComparison(arms=(unknown,))))


def test_adaptation_table_has_arms_differences_and_floors():
    text = printed(adaptation_table(ArmComparison(arms=(arm("generated", 5), arm("real only", 0)))))
    rows = {line.strip().split("  ")[0]: line for line in text.splitlines() if line.strip()}
    assert "-40.0 [-40.0, -40.0]" in rows["generated"]
    assert "-15.0 [-15.0, -15.0]" in rows["generated"]
    assert "+0.00 [+0.00, +0.00]" in rows["generated − real only (paired)"]
    assert "+5.00 [+5.00, +5.00]" in rows["generated − real only (paired)"]
    assert "+20.0 [+20.0, +20.0]" in rows["gain by adaptation, real only"]
    for shown in (
        "1 real episode",
        "zero action -39.7",
        "reference -0.5",
        "12,000",
        "1,000",
    ):
        assert shown in text


def test_one_arm_is_a_table_too():
    text = printed(adaptation_table(ArmComparison(arms=(arm("real only", 0),))))
    assert "paired" not in text


@pytest.mark.parametrize(
    ("split", "tasks"),
    [("test", "6 held-out tasks"), ("ood", "6 held-out tasks"), ("train", "6 tasks")],
)
def test_tasks_that_may_have_been_trained_on_are_not_called_held_out(split, tasks):
    text = printed(
        adaptation_table(ArmComparison(arms=(replace(arm("generated", 0.0), split=split),)))
    )
    assert f"Return on {tasks} of point-goal ({split} split)" in " ".join(text.split())


def test_fidelity_table_has_every_source_and_head():
    report = FidelityReport(
        family="point-goal",
        split="test",
        seed=0,
        episodes=1,
        reference_episodes=300,
        task_ids=("a", "b"),
        cosines={"shuffled_context": np.array([0.25, -0.75]), "real": np.array([0.5, 0.7])},
        held_out_errors={"next_state": np.array([0.125, 0.375])},
        generated_share=np.array([0.5, 1.0]),
    )
    text = printed(fidelity_table(report))
    for shown in (
        "shuffled context",
        "-0.250",
        "-0.750",
        "0.600",
        "next state",
        "0.25",
        "0.375",
        "75%",
        "300 real episodes",
    ):
        assert shown in text


def test_fidelity_table_shows_what_was_measured_of_transitions():
    found = TransitionFidelity(
        episodes=20,
        change_errors=np.array([0.5]),
        k_steps=(1, 20),
        component_errors=np.array([[0.125], [1.5]]),
        state_errors=np.array([[0.125, 0.125], [1.0, 2.0]]),
        reward_errors=np.array([[0.25, 0.5], [np.nan, np.nan]]),
        terminations=Terminations(
            transitions=4000, real=8, predicted=0, expected=0.5, precision=np.nan, recall=0.0
        ),
        energy_distances=np.array([0.01, 0.03]),
        energy_p_values=np.array([0.5, 0.1]),
        energy_p_value=0.031,
        densities=np.array([1.0, 0.5]),
        coverages=np.array([0.875, 0.625]),
        expected_coverage=0.969,
    )
    report = FidelityReport(
        family="point-goal",
        split="test",
        seed=0,
        episodes=1,
        reference_episodes=300,
        task_ids=("a", "b"),
        cosines={"real_20": np.array([0.9, 0.8])},
        task_specific_cosines={"real_20": np.array([0.5, np.nan])},
        transitions=found,
        held_out_errors={"reward": np.array([0.1])},
        generated_share=np.array([0.5, 1.0]),
    )
    text = printed(fidelity_table(report))
    rows = {line.strip().split("  ")[0]: line.split()[-2:] for line in text.splitlines() if line}
    assert rows["gradient cosine, 20 other real"] == ["0.850", "0.800"]
    assert rows["task-specific cosine, 20 other real"] == ["0.500", "0.500"]
    assert rows["error of the state 1 step on"] == ["0.125", "0.125"]
    assert rows["error of the state 20 steps on"] == ["1.5", "2"]
    assert rows["error of the reward 20 steps on"] == ["–", "–"]
    assert rows["precision of terminations, 8 in 4,000 transitions"][-1] == "–"
    assert rows["recall of terminations, 8 in 4,000 transitions"][-1] == "0.000"
    assert rows["energy distance, real and generated (p, all tasks)"] == ["0.031)", "0.03"]
    assert rows["coverage of real outcomes (real among real: 0.97)"] == ["0.75", "0.62"]


def test_settings_table_groups_digits():
    assert "1,234.5" in printed(settings_table("t", {"a": 1234.5, "b": "x"}))


def test_piped_tables_do_not_break_cells(capsys):
    console = make_console()
    assert console.width == PIPED_COLUMNS
    console.print(adaptation_table(ArmComparison(arms=(arm("generated", 5), arm("real only", 0)))))
    assert "generated − real only (paired)" in capsys.readouterr().out


@pytest.mark.parametrize("width", [60, 100])
def test_narrow_terminals_lose_no_number(width):
    output = io.StringIO()
    table = adaptation_table(ArmComparison(arms=(arm("generated", 5), arm("real only", 0))))
    Console(file=output, width=width, force_terminal=True, color_system=None).print(table)
    assert "…" not in output.getvalue()
