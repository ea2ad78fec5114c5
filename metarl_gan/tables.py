"""Reports as tables for the terminal; readable as plain text when piped."""

from collections.abc import Mapping

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from metarl_gan.arm_comparison import ArmComparison
from metarl_gan.fidelity_report import FidelityReport
from metarl_gan.statistics import Interval

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


def adaptation_table(comparison: ArmComparison) -> Table:
    """Rows: arms, then differences to the last arm; columns: return after 0..K real episodes."""
    first = comparison.baseline
    table = plain_table(
        f"Return on {len(first.task_ids)} held-out tasks of {first.family} ({first.split} split) "
        "after real episodes: IQM [95 % interval]"
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
    """Mean cosines to the true inner gradient, held-out errors per head, share generated."""
    table = plain_table(
        f"Fidelity on {len(report.task_ids)} held-out tasks of {report.family} ({report.split} "
        f"split), given {_episodes(report.episodes)} each"
    )
    table.add_column("what")
    table.add_column("mean", justify="right")
    table.add_column("worst", justify="right")
    for name, mean in report.gradient_cosine.items():
        worst = np.nanmin(report.cosines[name])
        table.add_row(f"gradient cosine, {name.replace('_', ' ')}", f"{mean:.3f}", f"{worst:.3f}")
    table.add_section()
    for head, errors in report.held_out_errors.items():
        table.add_row(
            f"held-out error, {head.replace('_', ' ')}",
            f"{errors.mean():.4g}",
            f"{errors.max():.4g}",
        )
    share, least = report.mean_generated_share, np.nanmin(report.generated_share)
    table.add_row("share generated that the gate chose", f"{share:.0%}", f"{least:.0%}")
    table.caption = (
        f"The true gradient is that of {report.reference_episodes} real episodes per task. "
        "Errors are in normalised units: 1 is what predicting the mean would give."
    )
    return table


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
