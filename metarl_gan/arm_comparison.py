"""Several arms, evaluated on the same tasks and seeds, side by side."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from metarl_gan.adaptation_report import AdaptationReport, paired_rows, save_arms
from metarl_gan.report_files import ReportError, read_report
from metarl_gan.statistics import Interval


@dataclass(frozen=True, kw_only=True, eq=False)
class ArmComparison:
    """Several arms evaluated on the same tasks and seeds, saved and drawn together.

    Args:
        arms: the reports, the arm of interest first; the last is the baseline of differences.

    Raises:
        ReportError: when there is no arm, two share a name, or they differ in family, split,
            seed, number of episodes or tasks.
    """

    arms: tuple[AdaptationReport, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "arms", tuple(self.arms))
        if not self.arms:
            raise ReportError("a comparison needs at least one arm")
        names = [arm.arm for arm in self.arms]
        if len(set(names)) != len(names):
            raise ReportError(f"the arms are named {names}; give each its own name")
        for name in ("family", "split", "seed", "episodes"):
            values = [getattr(arm, name) for arm in self.arms]
            if len(set(values)) != 1:
                raise ReportError(f"the arms differ in {name}: {values}; evaluate them alike")
        for arm in self.arms[1:]:
            paired_rows(self.arms[0], arm)

    @property
    def baseline(self) -> AdaptationReport:
        """The arm that the others are compared with."""
        return self.arms[-1]

    def differences(self) -> dict[str, tuple[Interval, ...]]:
        """By arm other than the baseline: `episodes + 1` paired differences, arm - baseline."""
        episodes = range(self.baseline.episodes + 1)
        return {
            arm.arm: tuple(arm.difference_interval(self.baseline, episode) for episode in episodes)
            for arm in self.arms[:-1]
        }

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Write `comparison-SPLIT` as JSON, CSV and PNG into `folder`, which is made if missing.

        Returns:
            The files by kind: "json", "csv", "png".

        Raises:
            OSError: when the folder cannot be written to.
        """
        differences = {
            name: [vars(interval) for interval in intervals]
            for name, intervals in self.differences().items()
        }
        content = {
            "kind": "comparison",
            "arms": [arm.to_dict() for arm in self.arms],
            "computed": {"baseline": self.baseline.arm, "differences": differences},
        }
        stem = Path(folder) / f"comparison-{self.baseline.split}"
        return save_arms(stem, content, self.arms)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a saved comparison from its JSON file or a folder with one `comparison-*.json`.

        Raises:
            ReportError: when the file is missing or holds something else.
        """
        content = read_report(Path(path), "comparison", "comparison-*.json")
        arms = content.get("arms")
        if not isinstance(arms, list):
            raise ReportError(f"{path} lists no arms")
        return cls(arms=tuple(AdaptationReport.from_dict(arm) for arm in arms))
