"""The figure of a fidelity report. Drawn without pyplot: no display, no global state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from metarl_gan.plots import COLOURS, FLOOR_COLOUR
from metarl_gan.statistics import FloatArray
from metarl_gan.transition_report import TransitionFidelity, finite_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE = COLOURS[:4]
SIGNIFICANT = 0.05
LEAST_ERROR, LEAST_GATED = 1e-8, 1e-4
"""Where the axes of errors begin, in many steps and in the gate's: 0 has no logarithm, and what
the gate opens wide for needs no room."""


@dataclass(frozen=True, kw_only=True)
class FidelityFigure:
    """What is drawn: arrays by task, as a fidelity report has them."""

    title: str
    episodes: int
    cosines: Mapping[str, FloatArray]
    task_specific: Mapping[str, FloatArray]
    errors: Mapping[str, FloatArray]
    transitions: TransitionFidelity | None

    def draw(self) -> "Figure":
        """Cosines beside held-out errors; below these, if known, what there is of transitions."""
        from matplotlib.figure import Figure  # slow, and few commands draw

        n_rows, mosaic = 1, "CCE"
        if self.transitions is not None:
            n_rows, mosaic = 2, "CCE;SOD"
        figure = Figure(figsize=(11.0, 4.0 * n_rows), layout="constrained")
        figure.suptitle(self.title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        axes = figure.subplot_mosaic(mosaic)
        for axis in axes.values():
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(axis="y", alpha=0.25)
            axis.tick_params(labelsize=8)
        self._draw_cosines(axes["C"])
        self._draw_errors(axes["E"])
        if self.transitions is not None:
            _draw_steps(axes["S"], self.transitions)
            _draw_coverage(axes["O"], self.transitions)
            _draw_energy(axes["D"], self.transitions)
            figure.supxlabel(_terminations(self.transitions), x=0.01, ha="left", fontsize=8)
        return figure

    def _draw_cosines(self, axes: "Axes") -> None:
        parts = [("whole gradient", self.cosines, BLUE, -0.2 if self.task_specific else 0.0)]
        if self.task_specific:
            parts.append(("less what tasks have in common", self.task_specific, ORANGE, 0.2))
        for label, cosines, colour, shift in parts:
            for index, values in enumerate(cosines.values()):
                _strip(axes, index + shift, values, colour, width=0.14)
                mean = finite_mean(values)
                shown = f"{mean:.2f}" if np.isfinite(mean) else "–"
                place = (index + shift, 1.08)
                axes.annotate(shown, place, ha="center", fontsize=8, color=colour)
            axes.scatter([], [], s=14, color=colour, label=label)
        axes.axhline(0.0, color=FLOOR_COLOUR, linewidth=0.8)
        names = [_source(name, self.episodes) for name in self.cosines]
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.set_ylim(-1.05, 1.2)
        axes.set_yticks(np.linspace(-1, 1, 5))
        _title(axes, "Inner gradient against the true one: cosine (dots: tasks; bars: means)")
        axes.legend(frameon=False, fontsize=8, loc="lower left", ncols=2)

    def _draw_errors(self, axes: "Axes") -> None:
        for index, values in enumerate(self.errors.values()):
            shown = _positive(values, LEAST_GATED)
            _strip(axes, index, shown, COLOURS[index % len(COLOURS)], width=0.25)
        names = [name.replace("_", "\n") for name in self.errors]
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.6, len(names) - 0.4)
        _log_errors(axes)
        _title(axes, "Error on the context's held-out half")


def _draw_steps(axes: "Axes", found: TransitionFidelity) -> None:
    places = np.arange(len(found.k_steps))
    for errors in found.component_errors.T:
        axes.plot(places, _positive(errors), color=BLUE, alpha=0.25, linewidth=0.8)
    lines: tuple[tuple[str, FloatArray, str, Literal["o", "s"]], ...] = (
        ("state (thin: components)", found.state_errors, BLUE, "o"),
        ("reward", found.reward_errors, ORANGE, "s"),
    )
    for label, errors, colour, marker in lines:
        means = np.array([finite_mean(row) for row in errors])
        axes.plot(places, _positive(means), color=colour, marker=marker, ms=4, label=label)
    axes.set_xticks(places, [str(k) for k in found.k_steps])
    axes.set_xlabel("steps on, real actions", fontsize=8)
    _log_errors(axes)
    axes.legend(frameon=False, fontsize=8)
    _title(axes, "Open-loop error of held-out episodes")


def _draw_coverage(axes: "Axes", found: TransitionFidelity) -> None:
    both = (
        ("coverage", found.coverages, GREEN, found.expected_coverage),
        ("density", found.densities, PURPLE, 1.0),
    )
    for index, (_, values, colour, ideal) in enumerate(both):
        _strip(axes, index, values, colour, width=0.25)
        if np.isfinite(ideal):
            axes.hlines(ideal, index - 0.42, index + 0.42, color="black", linestyles=":", lw=1.2)
    axes.plot([], [], color="black", linestyle=":", label="real against real")
    axes.set_xticks(range(len(both)), [name for name, *_ in both])
    axes.set_xlim(-0.6, len(both) - 0.4)
    axes.set_ylim(bottom=0.0, top=max(1.25, axes.get_ylim()[1] * 1.1))
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    _title(axes, "Generated outcomes (s', r) among real ones")


def _draw_energy(axes: "Axes", found: TransitionFidelity) -> None:
    told_apart = found.energy_p_values < SIGNIFICANT
    for mask, filled, label in (
        (told_apart, True, f"told apart (p < {SIGNIFICANT})"),
        (~told_apart, False, "not told apart"),
    ):
        axes.scatter(
            np.flatnonzero(mask),
            found.energy_distances[mask],
            s=22,
            facecolors=BLUE if filled else "none",
            edgecolors=BLUE,
            label=label,
        )
    axes.axhline(0.0, color=FLOOR_COLOUR, linewidth=0.8)
    axes.set_ylim(top=axes.get_ylim()[1] * 1.2)
    axes.set_xlabel(f"tasks (all of them: p = {found.energy_p_value:.2g})", fontsize=8)
    axes.set_xticks([])
    axes.legend(frameon=False, fontsize=8, loc="upper left", ncols=2, handletextpad=0.2)
    _title(axes, "Energy distance to real at the same (s, a)")


def _terminations(found: TransitionFidelity) -> str:
    scores = found.terminations
    if not scores.real and not scores.predicted:
        return f"No termination among {scores.transitions:,} real transitions, and none predicted."
    return (
        f"Terminations among {scores.transitions:,} real transitions: {scores.real:,} real, "
        f"{scores.expected:,.0f} expected by the generator; precision {scores.precision:.2f}, "
        f"recall {scores.recall:.2f}."
    )


def _strip(axes: "Axes", place: float, values: FloatArray, colour: str, *, width: float) -> None:
    """A dot per task around `place`, and a bar at their mean."""
    spread = np.linspace(-width, width, len(values)) if len(values) > 1 else np.zeros(1)
    axes.scatter(place + spread, values, s=14, alpha=0.5, color=colour, linewidths=0)
    mean = finite_mean(values)
    if np.isfinite(mean):
        axes.hlines(mean, place - width, place + width, color=colour, linewidth=2)


def _log_errors(axes: "Axes") -> None:
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    # Where nothing is known, nothing is drawn, and the limits are those of a linear axis.
    axes.set_ylim(bottom=low if low > 0.0 else 1e-3, top=max(3.0, high))
    axes.axhline(1.0, color=FLOOR_COLOUR, linestyle="--", linewidth=1.0)
    axes.annotate(
        "predicting the mean",
        (1.0, 1.0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        xytext=(-2, 3),
        ha="right",
        fontsize=7,
        color=FLOOR_COLOUR,
    )
    axes.set_ylabel("squared error, share of variance", fontsize=8)


def _positive(values: FloatArray, least: float = LEAST_ERROR) -> FloatArray:
    """For a logarithmic axis; what is infinite or no number is not drawn."""
    return np.where(np.isfinite(values), np.maximum(values, least), np.nan)


def _title(axes: "Axes", text: str) -> None:
    axes.set_title(text, loc="left", fontsize=9)


def _source(name: str, episodes: int) -> str:
    names = {
        "real": f"the same\n{episodes} real",
        "real_20": "20 other\nreal",
        "other_task": "other tasks,\ntrue",
        "shuffled_context": "generated,\nother context",
    }
    return names.get(name, name.replace("_", "\n"))
