"""How fast an agent adapts to held-out tasks: one arm of one agent."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from metarl_gan.plots import Curve, adaptation_figure
from metarl_gan.report_files import (
    ReportError,
    frozen_array,
    installed_versions,
    read_report,
    write_csv,
    write_figure,
    write_json,
)
from metarl_gan.statistics import (
    BOOTSTRAP_SEED,
    FloatArray,
    Interval,
    Statistic,
    conditional_value_at_risk,
    interquartile_mean,
    mean,
    paired_difference_interval,
    stratified_bootstrap_interval,
)

CSV_HEADER = ("arm", "task", "real_episodes", "return")
SUCCESS_HEADER = "success_rate"
"""The further column of families that tell success."""
_LATER = ("successes", "drop_reasons")
"""Fields that reports of earlier versions lack."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AdaptationReport:
    """Return on held-out tasks after 0..episodes real episodes, for one arm of one agent.

    Args:
        family: name of the task family.
        arm: what was adapted on, e.g. "generated" (real and generated rows) or "real only".
        split: the split the tasks came from.
        seed: seed of the tasks and of the evaluation.
        task_ids: one id per task; an id may repeat where a family has few distinct tasks.
        returns: `[tasks, episodes + 1]`, mean undiscounted return per episode after adapting on
            the column's number of real episodes.
        successes: `[tasks, episodes + 1]`, the share of the scored episodes in which the
            environment said in any step that the task is solved; `None` where it does not say.
        floors: returns of agents that learn nothing, by name.
        reference: a return worth comparing with, where the family knows one.
        training_real_steps: every real environment step that training spent.
        evaluation_real_steps: every real environment step that this evaluation spent.
        dropped_tasks: ids of the tasks whose environment failed; they are not in `returns`.
        drop_reasons: what was seen of each of these, in a line, and then perhaps a traceback.
        versions: versions of what the result depends on.
        command: what to run to get this report again.

    Raises:
        ReportError: when the shapes disagree, no task is left, or a return is not finite.
    """

    family: str
    arm: str
    split: str
    seed: int
    task_ids: tuple[str, ...]
    returns: FloatArray
    successes: FloatArray | None = None
    floors: Mapping[str, float] = field(default_factory=dict)
    reference: float | None = None
    training_real_steps: int = 0
    evaluation_real_steps: int = 0
    dropped_tasks: tuple[str, ...] = ()
    drop_reasons: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=installed_versions)
    command: str = ""

    def __post_init__(self) -> None:
        returns = frozen_array(self.returns)
        object.__setattr__(self, "returns", returns)
        object.__setattr__(self, "task_ids", tuple(self.task_ids))
        object.__setattr__(self, "dropped_tasks", tuple(self.dropped_tasks))
        object.__setattr__(self, "drop_reasons", tuple(self.drop_reasons))
        if returns.ndim != 2 or returns.shape[0] != len(self.task_ids) or returns.size == 0:
            raise ReportError(
                f"returns have shape {returns.shape} for {len(self.task_ids)} task ids; expected "
                "[tasks, episodes + 1] with at least one task"
            )
        if not np.isfinite(returns).all():
            bad = [
                name
                for name, row in zip(self.task_ids, returns, strict=True)
                if not np.isfinite(row).all()
            ]
            raise ReportError(
                f"returns of {', '.join(bad)} are not finite; list such tasks in dropped_tasks"
            )
        if self.successes is not None:
            object.__setattr__(self, "successes", self._checked(self.successes))

    def _checked(self, values: FloatArray) -> FloatArray:
        successes = frozen_array(values)
        if successes.shape != self.returns.shape or not ((successes >= 0) & (successes <= 1)).all():
            raise ReportError(
                f"successes have shape {successes.shape} and lie in {successes.min()}…"
                f"{successes.max()}; expected shares from 0 to 1 of shape {self.returns.shape}"
            )
        return successes

    @property
    def episodes(self) -> int:
        """The largest number of real episodes adapted on."""
        return self.returns.shape[1] - 1

    @cached_property
    def iqm(self) -> FloatArray:
        """`[episodes + 1]`: interquartile mean over tasks."""
        return interquartile_mean(self.returns.T)

    @cached_property
    def interval(self) -> FloatArray:
        """`[episodes + 1, 2]`: 95 % bootstrap interval of `iqm` over tasks (low, high)."""
        intervals = [
            stratified_bootstrap_interval(column, rng=np.random.default_rng(BOOTSTRAP_SEED))
            for column in self.returns.T
        ]
        return np.array([(interval.low, interval.high) for interval in intervals])

    @cached_property
    def success_rate(self) -> FloatArray | None:
        """`[episodes + 1]`: mean over tasks of the share of solved episodes, if it is known."""
        return None if self.successes is None else self.successes.mean(0)

    @cached_property
    def success_interval(self) -> FloatArray | None:
        """`[episodes + 1, 2]`: 95 % bootstrap interval of `success_rate` over tasks."""
        if self.successes is None:
            return None
        intervals = [
            stratified_bootstrap_interval(column, mean, rng=np.random.default_rng(BOOTSTRAP_SEED))
            for column in self.successes.T
        ]
        return np.array([(interval.low, interval.high) for interval in intervals])

    @cached_property
    def cvar(self) -> FloatArray:
        """`[episodes + 1]`: mean return of the worst tenth of the tasks."""
        return conditional_value_at_risk(self.returns.T, 0.1)

    def improvement_interval(
        self, episode: int = 1, statistic: Statistic = interquartile_mean
    ) -> Interval:
        """How much better after `episode` real episodes than before any, paired by task."""
        return paired_difference_interval(
            self.after(episode),
            self.after(0),
            statistic,
            rng=np.random.default_rng(BOOTSTRAP_SEED),
        )

    def difference_interval(
        self, other: "AdaptationReport", episode: int = 1, statistic: Statistic = interquartile_mean
    ) -> Interval:
        """How much better this arm is than `other` after `episode` real episodes, task by task.

        Tasks that either arm dropped are left out of both.

        Raises:
            ReportError: when the reports are not of the same tasks, or have fewer episodes.
        """
        ours, theirs = paired_rows(self, other)
        return paired_difference_interval(
            self.after(episode)[ours],
            other.after(episode)[theirs],
            statistic,
            rng=np.random.default_rng(BOOTSTRAP_SEED),
        )

    def curve(self) -> Curve:
        """This arm as a line of a plot."""
        return Curve(label=self.arm, values=self.iqm, interval=self.interval)

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Write `adaptation-SPLIT` as JSON, CSV and PNG into `folder`, which is made if missing.

        Returns:
            The files by kind: "json", "csv", "png".

        Raises:
            OSError: when the folder cannot be written to.
        """
        stem = Path(folder) / f"adaptation-{self.split}"
        content = {"kind": "adaptation", **self.to_dict()}
        return save_arms(stem, content, (self,))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a saved report from its JSON file or a folder with one `adaptation-*.json`.

        Raises:
            ReportError: when the file is missing or holds something else.
        """
        return cls.from_dict(read_report(Path(path), "adaptation", "adaptation-*.json"))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: every field, then what is computed from them."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        content["returns"] = self.returns.tolist()
        content["successes"] = None if self.successes is None else self.successes.tolist()
        content["computed"] = {
            "iqm": self.iqm.tolist(),
            "interval": self.interval.tolist(),
            "cvar": self.cvar.tolist(),
        }
        if self.success_rate is not None:
            content["computed"]["success_rate"] = self.success_rate.tolist()
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            ReportError: when a field is missing.
        """
        fields = [
            name for name in cls.__dataclass_fields__ if name in content or name not in _LATER
        ]
        missing = [name for name in fields if name not in content]
        if missing:
            raise ReportError(f"the adaptation report lacks {', '.join(missing)}")
        return cls(**{name: content[name] for name in fields})

    def after(self, episode: int) -> FloatArray:
        """`[tasks]`: returns after `episode` real episodes.

        Raises:
            ReportError: when fewer episodes were evaluated.
        """
        if not 0 <= episode <= self.episodes:
            raise ReportError(f"episode is {episode}; arm {self.arm!r} has 0..{self.episodes}")
        return self.returns[:, episode]


def paired_rows(ours: AdaptationReport, theirs: AdaptationReport) -> tuple[list[int], list[int]]:
    """Rows of the tasks that both reports hold; the n-th row of an id pairs with the n-th.

    Raises:
        ReportError: when the reports are not of the same tasks, dropped ones apart.
    """
    if (ours.family, ours.split, ours.seed) != (theirs.family, theirs.split, theirs.seed):
        raise ReportError(
            f"arms {ours.arm!r} and {theirs.arm!r} differ in family, split or seed; evaluate both "
            "on the same tasks"
        )
    our_rows, their_rows = _rows_by_occurrence(ours), _rows_by_occurrence(theirs)
    shared = [key for key in our_rows if key in their_rows]
    known = {*ours.dropped_tasks, *theirs.dropped_tasks}
    strangers = {key[0] for key in our_rows.keys() ^ their_rows.keys()} - known
    if strangers or not shared:
        named = ", ".join(sorted(strangers)[:3]) or "no task is in both"
        raise ReportError(
            f"arms {ours.arm!r} and {theirs.arm!r} were not evaluated on the same tasks ({named})"
        )
    return [our_rows[key] for key in shared], [their_rows[key] for key in shared]


def _rows_by_occurrence(report: AdaptationReport) -> dict[tuple[str, int], int]:
    seen: Counter[str] = Counter()
    rows = {}
    for row, name in enumerate(report.task_ids):
        rows[name, seen[name]] = row
        seen[name] += 1
    return rows


def save_arms(
    stem: Path, content: Mapping[str, object], arms: tuple[AdaptationReport, ...]
) -> dict[str, Path]:
    """Write `content` as JSON, the returns of `arms` as CSV and their curves as PNG."""
    told = any(arm.successes is not None for arm in arms)
    header = (*CSV_HEADER, SUCCESS_HEADER) if told else CSV_HEADER
    first = arms[0]
    figure = adaptation_figure(
        [arm.curve() for arm in arms],
        title=f"{first.family}, {first.split} split, {len(first.task_ids)} tasks",
        floors=first.floors,
        reference=first.reference,
    )
    return {
        "json": write_json(stem.with_suffix(".json"), content),
        "csv": write_csv(stem.with_suffix(".csv"), header, _csv_rows(arms, told=told)),
        "png": write_figure(stem.with_suffix(".png"), figure),
    }


def _csv_rows(arms: tuple[AdaptationReport, ...], *, told: bool) -> Iterator[tuple[object, ...]]:
    for arm in arms:
        for row, task in enumerate(arm.task_ids):
            for episode in range(arm.episodes + 1):
                scores: list[object] = [float(arm.returns[row, episode])]
                if told:
                    shares = arm.successes
                    scores.append("" if shares is None else float(shares[row, episode]))
                yield arm.arm, task, episode, *scores
