"""What the same agents lose on other tasks: out of distribution, say, against within."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from metarl_gan.comparison.measures import RESAMPLES
from metarl_gan.comparison.report import summarise
from metarl_gan.comparison.results import Results
from metarl_gan.grid import NOTHING, Grid, after_episodes
from metarl_gan.report_files import ReportError, write_bytes, write_json
from metarl_gan.shared_tasks import returns_on_shared_tasks
from metarl_gan.statistics import (
    BOOTSTRAP_SEED,
    FloatArray,
    Interval,
    interquartile_mean,
    resample_runs,
)
from metarl_gan.tables import show_interval


@dataclass(frozen=True, kw_only=True)
class MethodGap:
    """One method, after the last real episode.

    Args:
        name: of the method.
        here: interquartile mean over seeds and tasks of the results that are reported on.
        there: the same of those they are held against.
        gap: `there` less `here`: what the method loses.
        smaller: by how much less than the baseline loses; `None` for the baseline itself.
    """

    name: str
    here: Interval
    there: Interval
    gap: Interval
    smaller: Interval | None


@dataclass(frozen=True, kw_only=True)
class GapSummary:
    """All methods of two sets of results of the same agents.

    Args:
        family: name of the task family.
        here: split of the results that are reported on.
        there: split of those they are held against.
        baseline: the method that others are held against.
        episodes: real episodes adapted on.
        methods: in the order of the plan.
        commands: of both comparisons.
    """

    family: str
    here: str
    there: str
    baseline: str
    episodes: int
    methods: tuple[MethodGap, ...]
    commands: tuple[str, str]

    @classmethod
    def of(cls, folder: Path, against: Path, *, baseline: str | None = None) -> Self:
        """Hold the results in `folder` against those in `against`.

        Raises:
            ValueError: where there are none, or they are not of the same agents on other tasks.
        """
        (ours, here), (theirs, there) = (
            summarise(one, baseline=baseline) for one in (folder, against)
        )
        _require_same_agents(folder, here, against, there)
        if ours.split == theirs.split:
            raise ReportError(
                f"{folder} and {against} are both of the split {ours.split!r}: nothing to hold "
                "against each other; evaluate with another --split and the same --runs"
            )
        if ours.episodes != theirs.episodes:
            raise ReportError(
                f"{folder} has {ours.episodes} real episodes and {against} {theirs.episodes}; "
                "evaluate both with the same --episodes"
            )
        rng = np.random.default_rng(BOOTSTRAP_SEED)
        poor, good = _last_returns(here), _last_returns(there)
        losses = {
            name: _Samples.of(good[name], rng).less(_Samples.of(poor[name], rng)) for name in poor
        }
        base = losses[ours.baseline]
        last_here, last_there = (
            {method.name: method.returns[-1] for method in summary.methods}
            for summary in (ours, theirs)
        )
        return cls(
            family=ours.family,
            here=ours.split,
            there=theirs.split,
            baseline=ours.baseline,
            episodes=ours.episodes,
            methods=tuple(
                MethodGap(
                    name=name,
                    here=last_here[name],
                    there=last_there[name],
                    gap=loss.interval(),
                    smaller=None if name == ours.baseline else base.less(loss).interval(),
                )
                for name, loss in losses.items()
            ),
            commands=(ours.command, theirs.command),
        )

    def grid(self) -> Grid:
        """One row for each method."""
        return Grid(
            title=f"What is lost on the {self.here} split of {self.family}, "
            f"{after_episodes(self.episodes)}: IQM over seeds and tasks [95 % interval]",
            header=(
                "method",
                self.there,
                self.here,
                "gap",
                f"smaller than of {self.baseline} by",
            ),
            rows=tuple(
                (
                    method.name,
                    show_interval(method.there),
                    show_interval(method.here),
                    show_interval(method.gap),
                    NOTHING
                    if method.smaller is None
                    else show_interval(method.smaller, signed=True),
                )
                for method in self.methods
            ),
        )

    def save(self, folder: Path) -> dict[str, Path]:
        """Write `gap.json` and `gap.md`; the files by kind."""
        content: dict[str, Any] = {"kind": "comparison-gap", **asdict(self)}
        commands = "\n\n".join(f"`{command}`" for command in self.commands)
        text = f"{self.grid().as_markdown()}\n\n{commands}\n"
        return {
            "json": write_json(folder / "gap.json", content),
            "md": write_bytes(folder / "gap.md", text.encode()),
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class _Samples:
    """An estimate, and what came of it in bootstrap resamples `[resamples]`."""

    estimate: float
    resampled: FloatArray

    @classmethod
    def of(cls, returns: FloatArray, rng: np.random.Generator) -> Self:
        """Interquartile mean of `returns [seeds, tasks]`: seeds are drawn within each task."""
        return cls(
            estimate=float(interquartile_mean(returns.reshape(-1))),
            resampled=interquartile_mean(resample_runs(returns, RESAMPLES, rng)),
        )

    def less(self, other: Self) -> "_Samples":
        """The difference to what was drawn apart from it."""
        return _Samples(
            estimate=self.estimate - other.estimate, resampled=self.resampled - other.resampled
        )

    def interval(self) -> Interval:
        low, high = np.percentile(self.resampled, [2.5, 97.5])
        return Interval(estimate=self.estimate, low=float(low), high=float(high))


def _last_returns(results: Results) -> dict[str, FloatArray]:
    """After the last real episode `[seeds, tasks]`, by method, on the tasks that all share."""
    rows = returns_on_shared_tasks(
        {(name, one.seed): one.report for name, of_one in results.items() for one in of_one}
    )
    return {
        name: np.stack([rows[name, one.seed][:, -1] for one in of_one])
        for name, of_one in results.items()
    }


def _require_same_agents(folder: Path, here: Results, against: Path, there: Results) -> None:
    """Same methods and seeds, trained with the same settings."""
    ours, theirs = _trainings(here), _trainings(there)
    if ours.keys() != theirs.keys():
        lacking = sorted(ours.keys() ^ theirs.keys())
        named = ", ".join(f"{method} with seed {seed}" for method, seed in lacking[:3])
        raise ReportError(f"only one of {folder} and {against} has {named}")
    for (method, seed), training in ours.items():
        other = theirs[method, seed]
        different = [key for key, value in training.items() if other.get(key) != value]
        if different:
            raise ReportError(
                f"{method}, seed {seed}, was trained with another {', '.join(different[:3])} in "
                f"{folder} than in {against}: they are not the same agents"
            )


def _trainings(results: Results) -> dict[tuple[str, int], Mapping[str, object]]:
    return {
        (result.method, result.seed): result.training
        for of_one in results.values()
        for result in of_one
    }
