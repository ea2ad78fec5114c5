"""The results of a comparison as its jobs wrote them, and what of them is missing or unequal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from metarl_gan.adaptation_report import AdaptationReport
from metarl_gan.comparison.jobs import RESULT_KIND
from metarl_gan.config_io import flat
from metarl_gan.methods.method import LearningPoint
from metarl_gan.report_files import ReportError, read_report, write_json

PLAN_KIND, PLAN_FILE = "comparison-plan", "plan.json"
ENOUGH = 0.9
"""A method that spent less of its budget than this is named."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MethodResult:
    """What one method came to with one seed.

    Args:
        method: its name in tables.
        seed: of training.
        training: what decides about what is learnt, by dotted name: settings, budget, family.
        evaluation: how it was evaluated.
        report: returns on held-out tasks.
        learning_curve: returns on validation tasks, by real steps.
        spent: real steps of training, validation and evaluation, and seconds, by name.
        versions: of what the result depends on.
        command: of the whole comparison.
    """

    method: str
    seed: int
    training: Mapping[str, object]
    evaluation: Mapping[str, object]
    report: AdaptationReport
    learning_curve: tuple[LearningPoint, ...]
    spent: Mapping[str, float]
    versions: Mapping[str, str]
    command: str

    @property
    def budget(self) -> int:
        """Real steps that training might take."""
        return int(str(self.training["budget_real_steps"]))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a job's file.

        Raises:
            ReportError: for a file that no job wrote.
        """
        content: Mapping[str, Any] = read_report(path, RESULT_KIND, "")
        steps = ("real_steps", "validation_real_steps", "evaluation_real_steps")
        try:
            return cls(
                method=content["choice"]["name"],
                seed=content["seed"],
                training=flat(content["training"]),
                evaluation=content["evaluation"],
                report=AdaptationReport.from_dict(content["adaptation"]),
                learning_curve=tuple(LearningPoint(**point) for point in content["learning_curve"]),
                spent={
                    **{name: content[name] for name in steps},
                    **{f"{name}_seconds": value for name, value in content["seconds"].items()},
                },
                versions=content["versions"],
                command=content["command"],
            )
        except (LookupError, TypeError, AttributeError) as error:
            raise ReportError(f"{path} is no whole result of a comparison ({error!r})") from None


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the last plan of a folder asked for.

    Args:
        jobs: method and seed of each.
        baseline: the method that others are held against.
        thresholds: returns that the time to is measured; none for those of the family.
        command: of the plan.
    """

    jobs: tuple[tuple[str, int], ...] = ()
    baseline: str | None = None
    thresholds: tuple[float, ...] = ()
    command: str = ""

    def save(self, folder: Path) -> None:
        """Leave it for whoever makes the report."""
        write_json(folder / PLAN_FILE, {"kind": PLAN_KIND, **vars(self)})

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What `save` left, or nothing in particular."""
        if not (folder / PLAN_FILE).is_file():
            return cls()
        content: Mapping[str, Any] = read_report(folder / PLAN_FILE, PLAN_KIND, "")
        return cls(
            jobs=tuple((method, seed) for method, seed in content["jobs"]),
            baseline=content["baseline"],
            thresholds=tuple(content["thresholds"]),
            command=content["command"],
        )


Results = Mapping[str, Sequence[MethodResult]]
"""By method, by increasing seed."""


def read_results(folder: Path, expected: Expected) -> dict[str, tuple[MethodResult, ...]]:
    """The results in `folder/METHOD/seed-S.json`; methods in the order of the plan.

    Raises:
        ReportError: when there are none, or one cannot be read.
    """
    found: dict[str, list[MethodResult]] = {}
    for path in sorted(folder.glob("*/seed-*.json")):
        result = MethodResult.read(path)
        found.setdefault(result.method, []).append(result)
    if not found:
        raise ReportError(
            f"{folder} holds no results of a comparison (METHOD/seed-S.json); `metarl-gan compare "
            "--out` writes them"
        )
    order = list(dict.fromkeys([*(method for method, _ in expected.jobs), *found]))
    names = [name for name in order if name in found]
    return {name: tuple(sorted(found[name], key=lambda result: result.seed)) for name in names}


def missing_jobs(results: Results, expected: Expected) -> tuple[str, ...]:
    """A line for each method that lacks seeds that were asked for or that another one has."""
    known = {(result.method, result.seed) for of_one in results.values() for result in of_one}
    seeds = {seed for _, seed in known}
    wanted = {*expected.jobs, *((method, seed) for method in results for seed in seeds)}
    lacking = sorted(wanted - known)
    return tuple(
        f"{method} has no result of seed {', '.join(str(s) for m, s in lacking if m == method)}"
        for method in dict.fromkeys(method for method, _ in lacking)
    )


def inequalities(results: Results) -> tuple[str, ...]:
    """A line for whatever makes the comparison unequal in more than its methods."""
    every = [result for of_one in results.values() for result in of_one]
    lines = []
    for name, values in (
        ("budgets of real steps", {f"{result.budget:,}" for result in every}),
        ("evaluations", {str(dict(result.evaluation)) for result in every}),
    ):
        if len(values) > 1:
            lines.append(f"there are several {name}: {'; '.join(sorted(values))}")
    lines += [
        f"{result.method}, seed {result.seed}: took {result.spent['real_steps']:,} real steps, "
        f"{result.budget:,} were allowed"
        for result in every
        if result.spent["real_steps"] > result.budget
    ]
    for name, of_one in results.items():
        first = {key: value for key, value in of_one[0].training.items() if key != "seed"}
        for result in of_one[1:]:
            different = [key for key, value in first.items() if result.training.get(key) != value]
            if different:
                shown = ", ".join(different[:3])
                lines.append(f"{name}: seeds {of_one[0].seed} and {result.seed} differ in {shown}")
    return tuple(lines)


def unspent(results: Results) -> tuple[str, ...]:
    """A line for each method that left more than a tenth of its budget unspent."""
    lines = []
    for name, of_one in results.items():
        share = min(result.spent["real_steps"] / result.budget for result in of_one)
        if share < ENOUGH:
            lines.append(f"{name} spent {share:.0%} of its budget of real steps")
    return tuple(lines)
