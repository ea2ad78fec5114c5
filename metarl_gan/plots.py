"""Figures of the reports. Drawn without pyplot: no display, no global state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metarl_gan.statistics import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6A3D9A")
FLOOR_COLOUR = "#7F7F7F"
LEVEL_NAME_HEIGHT = 0.05  # of a panel's height, with some room


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of an adaptation plot: `values` [episodes + 1] in a band `interval` [.., 2]."""

    label: str
    values: FloatArray
    interval: FloatArray


def adaptation_figure(
    curves: Sequence[Curve], *, title: str, floors: Mapping[str, float], reference: float | None
) -> "Figure":
    """Return over real episodes: a line and an interval band per arm, floors as dashed lines."""
    figure, (axes,) = _figure(width=6.4)
    for index, curve in enumerate(curves):
        colour = COLOURS[index % len(COLOURS)]
        episodes = np.arange(len(curve.values))
        axes.fill_between(episodes, *curve.interval.T, color=colour, alpha=0.18, linewidth=0)
        axes.plot(episodes, curve.values, color=colour, marker="o", label=curve.label)
    mark_levels(axes, floors, reference)
    mark_episodes(axes)
    axes.set_ylabel("return per episode (IQM, 95 % interval)")
    axes.set_title(title, loc="left", fontsize=10)
    axes.legend(framealpha=0.9, edgecolor="none", fontsize=8, loc="best")
    return figure


def _figure(*, width: float, columns: int = 1) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure  # slow, and few commands draw

    figure = Figure(figsize=(width, 4.2), layout="constrained")
    axes = [figure.add_subplot(1, columns, column + 1) for column in range(columns)]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", alpha=0.25)
    return figure, axes


def mark_episodes(axes: "Axes") -> None:
    """Name the axis of real episodes, and number it by whole ones, as many as have room."""
    from matplotlib.ticker import MaxNLocator  # slow, and few commands draw

    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    axes.set_xlabel("real episodes in the new task")


def mark_levels(axes: "Axes", floors: Mapping[str, float], reference: float | None) -> None:
    """Horizontal lines with their names at the right end: dashed floors, a dotted reference.

    Call it when the rest is drawn. A name goes over its line; under it where the next line is so
    near that the two names would lie on each other.
    """
    levels = [(value, name.replace("_", " "), FLOOR_COLOUR, "--") for name, value in floors.items()]
    if reference is not None:
        levels.append((reference, "reference", "black", ":"))
    for value, _, colour, style in levels:
        axes.axhline(value, color=colour, linestyle=style, linewidth=1.0)
    bottom, top = axes.get_ylim()
    above = np.inf
    for value, name, colour, _ in sorted(levels, reverse=True):
        crowded = above - value < LEVEL_NAME_HEIGHT * (top - bottom)
        axes.annotate(
            f"{name} {value:.4g}",
            (1.0, value),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            xytext=(-2, -3 if crowded else 3),
            ha="right",
            va="top" if crowded else "baseline",
            fontsize=7,
            color=colour,
        )
        above = value
