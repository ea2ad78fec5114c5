"""The numbers that an ablation comes to: aggregates over seeds and tasks, arm by arm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Self

import numpy as np

from metarl_gan.ablation.arms import GAN, NONE
from metarl_gan.ablation.results import (
    GENERATED,
    REAL_ONLY,
    UNITS,
    SeedResult,
    differences_in_cost,
    missing_seeds,
    shared_rows,
)
from metarl_gan.statistics import (
    BOOTSTRAP_SEED,
    FloatArray,
    Interval,
    paired_difference_interval,
    probability_of_improvement,
    stratified_bootstrap_interval,
)

Returns = Mapping[int, FloatArray]
"""`[tasks, episodes + 1]` by seed."""


@dataclass(frozen=True, kw_only=True)
class ArmSummary:
    """One arm. Tuples over 0..episodes real episodes; `None` where there is nothing to compare.

    Args:
        name: of the arm.
        seeds: that it has results of.
        returns: interquartile means over seeds and tasks.
        real_only: the same agents without generated data.
        difference: to `none`, paired by seed and task.
        over_none: probability of improvement over `none`.
        over_gan: and over `gan`.
        cosines: mean over seeds and tasks of the cosine to the true inner gradient, by data.
        share: mean share of generated data that the gate chose on held-out tasks; `None` where
            that was not measured.
        training_share: the same while training.
        training_seconds: mean over seeds, without validations.
        spent: mean over seeds of what training took, by unit.
    """

    name: str
    seeds: tuple[int, ...]
    returns: tuple[Interval, ...]
    real_only: tuple[Interval, ...] | None
    difference: tuple[Interval, ...] | None
    over_none: tuple[float, ...] | None
    over_gan: tuple[float, ...] | None
    cosines: Mapping[str, float]
    share: float | None
    training_share: float
    training_seconds: float
    spent: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class AblationSummary:
    """All arms, and whether they may be compared.

    Args:
        family: name of the task family.
        split: of the held-out tasks.
        tasks: how many of these every result holds.
        dropped: how many others some result lacks.
        arms: in the order of the table.
        unequal: what makes the arms unequal in cost or settings, in lines; empty if fair.
        missing: which results are missing, in lines.
        floors: returns of agents that learn nothing, by name.
        command: of the ablation.
        versions: of what the results depend on; several where results differ.
    """

    family: str
    split: str
    tasks: int
    dropped: int
    arms: tuple[ArmSummary, ...]
    unequal: tuple[str, ...]
    missing: tuple[str, ...]
    floors: Mapping[str, float]
    command: str
    versions: tuple[Mapping[str, str], ...]

    @property
    def fair(self) -> bool:
        """Whether all arms took equal real steps and updates, and differ in nothing else."""
        return not self.unequal

    @property
    def episodes(self) -> int:
        """The largest number of real episodes adapted on."""
        return len(self.arms[0].returns) - 1

    @classmethod
    def of(cls, results: Mapping[str, Sequence[SeedResult]]) -> Self:
        """Aggregate results by arm, as `read_results` returns them.

        Raises:
            ReportError: when they were not evaluated on the same tasks in the same way.
        """
        every = [result for of_arm in results.values() for result in of_arm]
        rows = shared_rows(every)
        sides: dict[tuple[str, str], dict[int, FloatArray]] = {}
        for (arm, seed, side), returns in rows.items():
            sides.setdefault((arm, side), {})[seed] = returns
        report = every[0].report
        tasks = len(next(iter(rows.values())))
        commands = dict.fromkeys(result.command for result in every)
        versions = {str(result.versions): result.versions for result in every}
        return cls(
            family=report.family,
            split=report.split,
            tasks=tasks,
            dropped=len(report.task_ids) + len(report.dropped_tasks) - tasks,
            arms=tuple(_summarise(of_arm, sides) for of_arm in results.values()),
            unequal=differences_in_cost(results),
            missing=missing_seeds(results),
            floors=report.floors,
            command=" && ".join(commands),
            versions=tuple(versions.values()),
        )

    def as_json(self) -> dict[str, Any]:
        """Plain data, intervals as mappings."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        content["fair"] = self.fair
        content["arms"] = [_plain(vars(arm)) for arm in self.arms]
        return content


def _summarise(
    results: Sequence[SeedResult], sides: Mapping[tuple[str, str], Returns]
) -> ArmSummary:
    name = results[0].arm

    def meant(arm: str) -> Returns | None:
        return sides.get((arm, GENERATED)) or sides.get((arm, REAL_ONLY))

    ours, none, gan = sides.get((name, GENERATED)), meant(NONE), meant(GAN)
    plain = sides[name, REAL_ONLY]
    scored = plain if ours is None else ours
    measured = [result.fidelity for result in results if result.fidelity]
    shares = [fidelity["computed"]["mean_generated_share"] for fidelity in measured]
    units = [*UNITS, "simulator_steps"]
    return ArmSummary(
        name=name,
        seeds=tuple(result.seed for result in results),
        returns=_intervals(scored),
        real_only=None if ours is None else _intervals(plain),
        difference=None if none is None or name == NONE else _differences(scored, none),
        over_none=None if none is None or name == NONE else _probabilities(scored, none),
        over_gan=None if gan is None or name == GAN else _probabilities(scored, gan),
        cosines=_mean_cosines(measured),
        share=_finite_mean(shares),
        training_share=fmean(result.training_share for result in results),
        training_seconds=fmean(result.training_seconds for result in results),
        spent={unit: fmean(result.spent.get(unit, 0) for result in results) for unit in units},
    )


def _intervals(returns: Returns) -> tuple[Interval, ...]:
    stacked = np.stack(list(returns.values()))
    return tuple(
        stratified_bootstrap_interval(values, rng=np.random.default_rng(BOOTSTRAP_SEED))
        for values in np.moveaxis(stacked, -1, 0)
    )


def _differences(ours: Returns, theirs: Returns) -> tuple[Interval, ...] | None:
    """Paired by the seeds that both have; `None` if there is none."""
    seeds = [seed for seed in ours if seed in theirs]
    if not seeds:
        return None
    a, b = (np.stack([returns[seed] for seed in seeds]) for returns in (ours, theirs))
    return tuple(
        paired_difference_interval(
            a[..., episode], b[..., episode], rng=np.random.default_rng(BOOTSTRAP_SEED)
        )
        for episode in range(a.shape[-1])
    )


def _probabilities(ours: Returns, theirs: Returns) -> tuple[float, ...]:
    a, b = np.stack(list(ours.values())), np.stack(list(theirs.values()))
    return tuple(
        probability_of_improvement(a[..., episode], b[..., episode])
        for episode in range(a.shape[-1])
    )


def _mean_cosines(measured: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean over seeds, by data; those of which no seed has one are left out."""
    names = dict.fromkeys(
        name for fidelity in measured for name in fidelity["computed"]["gradient_cosine"]
    )
    means = {
        name: _finite_mean(
            [fidelity["computed"]["gradient_cosine"].get(name) for fidelity in measured]
        )
        for name in names
    }
    return {name: value for name, value in means.items() if value is not None}


def _finite_mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    def plain(value: object) -> object:
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        return vars(value) if isinstance(value, Interval) else value

    return {name: plain(value) for name, value in values.items()}
