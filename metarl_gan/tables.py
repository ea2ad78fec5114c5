"""Reports as tables for the terminal; readable as plain text when piped."""

from collections.abc import Mapping

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from metarl_gan.arm_comparison import ArmComparison
from metarl_gan.fidelity_report import FidelityReport
from metarl_gan.statistics import FloatArray, Interval
from metarl_gan.transition_report import TransitionFidelity, finite_mean

PIPED_COLUMNS = 160
"""Width where there is no terminal to ask: wide enough that no cell is broken."""


def make_console() -> Console:
    """A console on standard output that does not break cells when piped."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPED_COLUMNS)


def show_interval(interval: Interval, *, signed: bool = False) -> str:
    """An interval as `-20.3 [-25.1, -16.0]`; a signed one shows + as well."""
    values = (interval.estimate, interval.low, interval.high)
    estimate, low, high = (_number(value, signed=signed) for value in values)
    return f"{estimate} [{low}, {high}]"


def tasks_of(split: str) -> str:
    """What to call the tasks of a split: those that may have been trained on are not held out."""
    return "tasks" if split == "train" else "held-out tasks"


def adaptation_table(comparison: ArmComparison) -> Table:
    """Rows: arms, then differences to the last arm; columns: return after 0..K real episodes."""
    first = comparison.baseline
    table = plain_table(
        f"Return on {len(first.task_ids)} {tasks_of(first.split)} of {first.family} ({first.split} "
        "split) after real episodes: IQM [95 % interval]"
    )
    table.add_column("arm")
    for episode in range(first.episodes + 1):
        table.add_column(_episodes(episode), justify="right")
    for arm in comparison.arms:
        cells = (
            show_interval(Interval(estimate=iqm, low=low, high=high))
            for iqm, (low, high) in zip(arm.iqm, arm.interval, strict=True)
        )
        table.add_row(arm.arm, *cells)
    table.add_section()
    for name, differences in comparison.differences().items():
        cells = (show_interval(interval, signed=True) for interval in differences)
        table.add_row(f"{name} − {first.arm} (paired)", *cells)
    for arm in comparison.arms:
        gains = (
            show_interval(arm.improvement_interval(episode), signed=True)
            for episode in range(1, arm.episodes + 1)
        )
        table.add_row(f"gain by adaptation, {arm.arm}", "", *gains)
    for arm in comparison.arms:
        if arm.success_rate is not None and arm.success_interval is not None:
            rates = zip(arm.success_rate, arm.success_interval, strict=True)
            shown = (f"{rate:.0%} [{low:.0%}, {high:.0%}]" for rate, (low, high) in rates)
            table.add_row(f"success rate, {arm.arm}", *shown)
    table.caption = _adaptation_caption(comparison)
    return table


def fidelity_table(report: FidelityReport) -> Table:
    """Cosines to the true inner gradient, held-out errors, what there is of transitions."""
    table = plain_table(
        f"Fidelity on {len(report.task_ids)} {tasks_of(report.split)} of {report.family} "
        f"({report.split} split), given {_episodes(report.episodes)} each"
    )
    for name in ("what", "mean", "worst task"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for label, cosines in (
        ("gradient cosine", report.cosines),
        ("task-specific cosine", report.task_specific_cosines),
    ):
        for name, values in cosines.items():
            shown = "20 other real" if name == "real_20" else name.replace("_", " ")
            _add_figures(table, f"{label}, {shown}", values, ".3f", low=True)
        table.add_section()
    for head, errors in report.held_out_errors.items():
        _add_figures(table, f"held-out error, {head.replace('_', ' ')}", errors, ".4g")
    if report.transitions is not None:
        table.add_section()
        _add_transitions(table, report.transitions)
    table.add_section()
    _add_figures(
        table, "share generated that the gate chose", report.generated_share, ".0%", low=True
    )
    table.caption = (
        f"The true gradient is that of {report.reference_episodes} real episodes per task; "
        "task-specific cosines are without what the true ones of all tasks have in common. "
        "Errors are in normalised units: 1 is what predicting the mean would give."
    )
    return table


def _add_transitions(table: Table, found: TransitionFidelity) -> None:
    for index, k in enumerate(found.k_steps):
        steps = "1 step on" if k == 1 else f"{k} steps on"
        _add_figures(table, f"error of the state {steps}", found.state_errors[index], ".4g")
        _add_figures(table, f"error of the reward {steps}", found.reward_errors[index], ".4g")
    table.add_section()
    scores = found.terminations
    counted = f"terminations, {scores.real:,} in {scores.transitions:,} transitions"
    for name, value in (("precision", scores.precision), ("recall", scores.recall)):
        table.add_row(f"{name} of {counted}", _shown(value, ".3f"), "")
    table.add_row(
        "energy distance, real and generated (p, all tasks)",
        f"{_shown(finite_mean(found.energy_distances), '.3g')} (p {found.energy_p_value:.3g})",
        _shown(found.energy_distances.max(), ".3g"),
    )
    ideal = f"real among real: {found.expected_coverage:.2f}"
    _add_figures(table, f"coverage of real outcomes ({ideal})", found.coverages, ".2f", low=True)
    _add_figures(table, "density of generated outcomes", found.densities, ".2f", low=True)


def _add_figures(
    table: Table, name: str, values: FloatArray, form: str, *, low: bool = False
) -> None:
    """A row of mean and worst value; with `low`, the lowest is the worst."""
    known = values[~np.isnan(values)]
    worst = (known.min() if low else known.max()) if known.size else float("nan")
    table.add_row(name, _shown(finite_mean(values), form), _shown(worst, form))


def _shown(value: float, form: str) -> str:
    return "–" if np.isnan(value) else f"{value:{form}}"


def settings_table(title: str, values: Mapping[str, object]) -> Table:
    """Names and values, one per row."""
    table = plain_table(title)
    table.add_column("name")
    table.add_column("value", justify="right")
    for name, value in values.items():
        shown = f"{value:,.6g}" if isinstance(value, float) else str(value)
        table.add_row(name, shown)
    return table


def plain_table(title: str) -> Table:
    """A table without frame, its title on top."""
    return Table(
        title=title,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        title_style="bold",
    )


def _episodes(count: int) -> str:
    return "1 real episode" if count == 1 else f"{count} real episodes"


def _number(value: float, *, signed: bool = False) -> str:
    decimals = 2 if abs(value) < 10 else 1
    return f"{value:{'+' if signed else ''}.{decimals}f}"


def _adaptation_caption(comparison: ArmComparison) -> str:
    first = comparison.baseline
    levels = [f"{name.replace('_', ' ')} {value:g}" for name, value in first.floors.items()]
    if first.reference is not None:
        levels.append(f"reference {first.reference:g}")
    evaluated = sum(arm.evaluation_real_steps for arm in comparison.arms)
    dropped = sum(len(arm.dropped_tasks) for arm in comparison.arms)
    parts = [
        f"Levels: {', '.join(levels)}." if levels else "",
        f"Real steps: {first.training_real_steps:,} in training, {evaluated:,} in this evaluation.",
        f"Dropped tasks: {dropped}." if dropped else "",
        "Differences and gains are IQMs of differences per task.",
        "Success rates are means over tasks of the share of episodes solved in any step."
        if any(arm.successes is not None for arm in comparison.arms)
        else "",
    ]
    return " ".join(part for part in parts if part)
