"""The plot of an ablation: returns of all arms, and how they differ from `none`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from metarl_gan.ablation.arms import NONE
from metarl_gan.ablation.summary import AblationSummary, ArmSummary
from metarl_gan.plots import COLOURS, FLOOR_COLOUR
from metarl_gan.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_INCHES = 0.5


def ablation_figure(summary: AblationSummary) -> "Figure":
    """Left: return before and after adaptation, a row per arm. Right: difference to `none`."""
    from matplotlib.figure import Figure  # slow, and few commands draw

    compared = any(arm.difference for arm in summary.arms)
    figure = Figure(
        figsize=(10.0 if compared else 6.4, 2.0 + ROW_INCHES * len(summary.arms)),
        layout="constrained",
    )
    axes = figure.subplots(1, 2 if compared else 1, squeeze=False, sharey=True)[0]
    _returns(axes[0], summary)
    if compared:
        _differences(axes[1], summary)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="x", alpha=0.25)
        for row in range(1, len(summary.arms)):
            axis.axhline(row - 0.5, color=FLOOR_COLOUR, alpha=0.3, linewidth=0.6)
    axes[0].set_yticks(range(len(summary.arms)), [arm.name for arm in summary.arms])
    axes[0].set_ylim(len(summary.arms) - 0.4, -0.6)
    most = max(len(arm.seeds) for arm in summary.arms)
    title = f"{summary.family}, {summary.split} split: {most} seeds × {summary.tasks} tasks"
    fair = "" if summary.fair else "\nNOT a fair comparison: costs or settings differ, see table"
    figure.suptitle(title + fair, fontsize=11, x=0.01, ha="left")
    return figure


def _returns(axes: "Axes", summary: AblationSummary) -> None:
    for row, arm in enumerate(summary.arms):
        for episode, (interval, offset) in enumerate(_spread(arm.returns)):
            hollow = episode == 0
            colour = FLOOR_COLOUR if hollow else COLOURS[(episode - 1) % len(COLOURS)]
            label = _after(episode) if row == 0 else None
            _draw(axes, interval, row + offset, colour, label, hollow=hollow)
        if arm.real_only:
            last, height = arm.real_only[-1], row + _spread(arm.returns)[-1][1]
            label = f"{_after(summary.episodes)}, same agent, real only"
            known = axes.get_legend_handles_labels()[1]
            axes.plot(
                last.estimate,
                height,
                marker="x",
                color="black",
                linestyle="none",
                label=None if label in known else label,
            )
    axes.set_xlabel("return per episode (IQM, 95 % interval)")
    axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)


def _differences(axes: "Axes", summary: AblationSummary) -> None:
    axes.axvline(0.0, color=FLOOR_COLOUR, linewidth=1.0)
    for row, arm in enumerate(summary.arms):
        for episode, (interval, offset) in enumerate(_spread((arm.difference or ())[1:])):
            colour = COLOURS[episode % len(COLOURS)]
            _draw(axes, interval, row + offset, colour, None, hollow=False)
    _mark_baseline(axes, summary.arms)
    axes.set_xlabel(f"difference to {NONE} (paired, IQM, 95 % interval)")


def _mark_baseline(axes: "Axes", arms: Sequence[ArmSummary]) -> None:
    for row, arm in enumerate(arms):
        if arm.name == NONE:
            axes.annotate(" the baseline", (0.0, row), va="center", fontsize=8, color=FLOOR_COLOUR)


def _spread(intervals: Sequence[Interval]) -> list[tuple[Interval, float]]:
    """Each interval with its height within the arm's row."""
    count = len(intervals)
    return [
        (interval, 0.0 if count < 2 else 0.5 * (index / (count - 1) - 0.5))
        for index, interval in enumerate(intervals)
    ]


def _draw(
    axes: "Axes", interval: Interval, height: float, colour: str, label: str | None, *, hollow: bool
) -> None:
    axes.hlines(height, interval.low, interval.high, color=colour, linewidth=2.0)
    axes.plot(
        interval.estimate,
        height,
        marker="o",
        markersize=5.0,
        color=colour,
        markerfacecolor="white" if hollow else colour,
        linestyle="none",
        label=label,
    )


def _after(episode: int) -> str:
    if episode == 0:
        return "before adaptation"
    return f"after {episode} real episode{'s' * (episode > 1)}"
