"""The figure of a comparison: four panels that share their colours."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from metarl_gan.comparison.measures import Band
from metarl_gan.comparison.summary import ComparisonSummary
from metarl_gan.plots import COLOURS, FLOOR_COLOUR, mark_episodes, mark_levels
from metarl_gan.statistics import Interval
from metarl_gan.tables import tasks_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = ("-", "--", ":", "-.")
"""One per round of the colours, so that 24 methods can be told apart."""
MARKERS = ("o", "s", "^", "D")
COMMAND_WIDTH = 230


def comparison_figure(summary: ComparisonSummary) -> "Figure":
    """Adaptation curves, performance profiles, learning curves, probabilities of improvement."""
    from matplotlib.figure import Figure  # slow, and few commands draw

    rows = max(0.0, 0.22 * (len(summary.methods) - 8))
    figure = Figure(figsize=(12.0, 8.4 + 2 * rows), layout="constrained")
    axes = figure.subplots(2, 2)
    _adaptation(axes[0, 0], summary)
    _profiles(axes[0, 1], summary)
    _learning(axes[1, 0], summary)
    _improvements(axes[1, 1], summary)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside right upper", frameon=False, fontsize=9, title="method"
    )
    most = max(len(method.seeds) for method in summary.methods)
    unfair = "\nNOT a fair comparison: see table" if summary.unequal else ""
    figure.suptitle(
        f"{summary.family}, {summary.split} split: {most} seed{'s' * (most > 1)} × "
        f"{summary.tasks} tasks, {summary.budget_real_steps:,} real steps of training{unfair}",
        fontsize=12,
        x=0.01,
        ha="left",
    )
    lines = textwrap.wrap(summary.command, COMMAND_WIDTH, break_on_hyphens=False)
    figure.supxlabel("\n".join(lines), fontsize=6, x=0.01, ha="left", color=FLOOR_COLOUR)
    return figure


def _look(index: int) -> tuple[str, str, str]:
    """Colour, line style and marker of the method at an index."""
    again = index // len(COLOURS) % len(STYLES)
    return COLOURS[index % len(COLOURS)], STYLES[again], MARKERS[again]


def _adaptation(axes: "Axes", summary: ComparisonSummary) -> None:
    episodes = np.arange(summary.episodes + 1)
    for index, method in enumerate(summary.methods):
        band = Band(
            x=episodes.astype(float),
            values=_part(method.returns, "estimate"),
            low=_part(method.returns, "low"),
            high=_part(method.returns, "high"),
        )
        _draw(axes, band, index, method.name, marked=True)
    mark_levels(axes, summary.floors, summary.reference)
    mark_episodes(axes)
    axes.set_ylabel("return per episode (IQM)")
    axes.set_title(f"Adaptation to {tasks_of(summary.split)}", loc="left", fontsize=10)
    axes.grid(axis="y", alpha=0.25)


def _profiles(axes: "Axes", summary: ComparisonSummary) -> None:
    for index, method in enumerate(summary.methods):
        _draw(axes, method.profile, index, method.name)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("return τ" if summary.scale is None else "normalised score τ")
    axes.set_ylabel("share of seeds × tasks above τ")
    axes.set_title(
        f"Performance profile after {summary.episodes} real episode{'s' * (summary.episodes != 1)}",
        loc="left",
        fontsize=10,
    )
    axes.grid(alpha=0.25)


def _learning(axes: "Axes", summary: ComparisonSummary) -> None:
    from matplotlib.ticker import EngFormatter

    for index, method in enumerate(summary.methods):
        if method.learning is not None:
            _draw(axes, method.learning, index, method.name)
    for found in summary.methods[0].reached:
        axes.axhline(found.threshold, color=FLOOR_COLOUR, linestyle=":", linewidth=0.8)
    axes.set_xlabel("real steps of training")
    axes.set_ylabel("validation return (IQM)")
    dotted = "; dotted: thresholds" if summary.methods[0].reached else ""
    axes.set_title(f"Learning, on validation tasks{dotted}", loc="left", fontsize=10)
    axes.locator_params(axis="x", nbins=6)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(axis="y", alpha=0.25)


def _improvements(axes: "Axes", summary: ComparisonSummary) -> None:
    compared = [
        (index, method) for index, method in enumerate(summary.methods) if method.improvement
    ]
    axes.axvline(0.5, color=FLOOR_COLOUR, linewidth=1.0)
    for row, (index, method) in enumerate(compared):
        colour, _, marker = _look(index)
        assert method.improvement is not None
        chance = method.improvement[-1]
        axes.hlines(row, chance.low, chance.high, color=colour, linewidth=2.5)
        axes.plot(chance.estimate, row, marker=marker, color=colour, linestyle="none")
    axes.set_yticks(range(len(compared)), [method.name for _, method in compared])
    axes.tick_params(axis="y", labelsize=8)
    axes.set_ylim(max(len(compared), 1) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel(f"P(a seed is better on a task than {summary.baseline})")
    axes.set_title(f"Probability of improvement over {summary.baseline}", loc="left", fontsize=10)
    axes.grid(axis="x", alpha=0.25)


def _draw(axes: "Axes", band: Band, index: int, label: str, *, marked: bool = False) -> None:
    colour, style, marker = _look(index)
    few = marked or len(band.x) == 1
    if len(band.x) == 1:
        axes.vlines(band.x, band.low, band.high, color=colour, alpha=0.5)
    axes.fill_between(band.x, band.low, band.high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(
        band.x,
        band.values,
        color=colour,
        linestyle=style,
        marker=marker if few else "",
        markersize=4.0,
        label=label,
    )


def _part(intervals: Sequence[Interval], name: str) -> np.ndarray:
    return np.array([getattr(interval, name) for interval in intervals])
