"""The results of an ablation as its jobs wrote them, and whether they can be compared."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from metarl_gan.ablation.arms import BUILT_IN
from metarl_gan.ablation.jobs import RESULT_KIND
from metarl_gan.adaptation_report import AdaptationReport
from metarl_gan.config_io import flat
from metarl_gan.report_files import ReportError, read_report
from metarl_gan.shared_tasks import returns_on_shared_tasks
from metarl_gan.statistics import FloatArray

GENERATED, REAL_ONLY = "generated", "real_only"
UNITS = {
    "real_steps": "real steps",
    "outer_steps": "outer steps",
    "generator_updates": "generator updates",
}
"""What has to be equal between arms, as it is said."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SeedResult:
    """What one arm came to with one seed.

    Args:
        arm: the arm's name.
        overrides: the settings that are the arm's own.
        seed: of training.
        settings: every setting by dotted name.
        spent: real steps, outer steps and the like that training took.
        reports: by side, "generated" and "real_only" (the same agent without generated data), or
            the latter alone.
        fidelity: what the fidelity report holds, where there is a generator.
        training_seconds: without validations.
        training_share: mean share of generated data over training.
        versions: of what the result depends on.
        command: of the whole ablation.
    """

    arm: str
    overrides: Mapping[str, object]
    seed: int
    settings: Mapping[str, object]
    spent: Mapping[str, int]
    reports: Mapping[str, AdaptationReport]
    fidelity: Mapping[str, Any] | None
    training_seconds: float
    training_share: float
    versions: Mapping[str, str]
    command: str

    @property
    def report(self) -> AdaptationReport:
        """Of the arm as it is meant: with generated data if it has any."""
        return self.reports.get(GENERATED) or self.reports[REAL_ONLY]

    @property
    def learns_to_generate(self) -> bool:
        """Whether its generator is one that is trained."""
        return GENERATED in self.reports and self.settings.get("generator.kind") != "simulator"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a job's file.

        Raises:
            ReportError: for a file that no job wrote.
        """
        content: Mapping[str, Any] = read_report(path, RESULT_KIND, "")
        try:
            return cls(
                arm=content["arm"]["name"],
                overrides=content["arm"]["overrides"],
                seed=content["seed"],
                settings=flat(content["config"]),
                spent=content["spent"],
                reports={
                    side: AdaptationReport.from_dict(report)
                    for side, report in content["reports"].items()
                },
                fidelity=content["fidelity"],
                training_seconds=content["training_seconds"],
                training_share=content["training_generated_share"],
                versions=content["versions"],
                command=content["command"],
            )
        except (LookupError, TypeError, AttributeError) as error:
            raise ReportError(f"{path} is no whole result of an ablation ({error!r})") from None


def read_results(folder: Path) -> dict[str, tuple[SeedResult, ...]]:
    """The results in `folder/ARM/seed-S.json` by arm, by increasing seed.

    Raises:
        ReportError: when there are none, or one cannot be read.
    """
    found: dict[str, list[SeedResult]] = {}
    for path in folder.glob("*/seed-*.json"):
        result = SeedResult.read(path)
        found.setdefault(result.arm, []).append(result)
    if not found:
        raise ReportError(
            f"{folder} holds no results of an ablation (ARM/seed-S.json); `metarl-gan ablate "
            "--out` writes them"
        )
    ranks = {name: rank for rank, name in enumerate(BUILT_IN)}
    names = sorted(found, key=lambda name: (ranks.get(name, len(ranks)), name))
    return {name: tuple(sorted(found[name], key=lambda result: result.seed)) for name in names}


def shared_rows(results: Sequence[SeedResult]) -> dict[tuple[str, int, str], FloatArray]:
    """Returns `[tasks, episodes + 1]` by arm, seed and side, of the tasks that all results hold.

    A task that any evaluation dropped is left out of all.

    Raises:
        ReportError: when they were not evaluated on the same tasks, or none is left.
    """
    reports = {
        (result.arm, result.seed, side): report
        for result in results
        for side, report in result.reports.items()
    }
    return returns_on_shared_tasks(reports)


def differences_in_cost(arms: Mapping[str, Sequence[SeedResult]]) -> tuple[str, ...]:
    """A line for whatever makes arms unequal in more than what they are about; none if fair.

    Within each seed, real steps and outer steps must be equal in all arms, generator updates in
    those that train one, and settings in all but the arms' own.
    """
    problems = []
    for seed in sorted({result.seed for results in arms.values() for result in results}):
        same = [result for results in arms.values() for result in results if result.seed == seed]
        for name, unit in UNITS.items():
            counted = [
                result
                for result in same
                if name != "generator_updates" or result.learns_to_generate
            ]
            usual = Counter(result.spent[name] for result in counted).most_common(1)
            problems += [
                f"{result.arm}, seed {seed}: {result.spent[name]:,} {unit}, others {count:,}"
                for result in counted
                for count, _ in usual
                if result.spent[name] != count
            ]
        problems += _strange_settings(same)
    return tuple(problems)


def _strange_settings(results: Sequence[SeedResult]) -> list[str]:
    first = results[0]
    problems = []
    for result in results[1:]:
        own = {*first.overrides, *result.overrides}
        different = [
            f"{result.arm}, seed {result.seed}: {name} is {result.settings.get(name)}, in "
            f"{first.arm} {value}"
            for name, value in first.settings.items()
            if name not in own and result.settings.get(name) != value
        ]
        problems += different
    return problems


def missing_seeds(arms: Mapping[str, Sequence[SeedResult]]) -> tuple[str, ...]:
    """A line for each arm that lacks a seed which another one has."""
    seeds = {result.seed for results in arms.values() for result in results}
    lines = []
    for name, results in arms.items():
        missing = sorted(seeds - {result.seed for result in results})
        if missing:
            lines.append(f"{name} has no result of seed {', '.join(map(str, missing))}")
    return tuple(lines)
