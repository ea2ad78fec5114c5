"""`metarl-gan compare`: methods by seeds within one budget, or the report on what there is."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from metarl_gan.cli_options import CompareOptions, parse
from metarl_gan.jobs.console import end_on_failures, say
from metarl_gan.usage import UsageError

if TYPE_CHECKING:
    from metarl_gan.comparison.plan import ComparisonPlan
    from metarl_gan.comparison.summary import ComparisonSummary


def compare(args: Sequence[str]) -> None:
    """`metarl-gan compare`: train, evaluate, compare; 1 if a job failed."""
    options = parse(CompareOptions, "compare", args)
    if options.list_methods:
        _list_methods(options)
    elif options.report is not None:
        _report_only(options.report, options)
    elif options.gap_to is not None:
        raise UsageError("--gap-to goes with --report DIR, which it is held against")
    else:
        plan, out = plan_of(options)
        from metarl_gan.comparison.run import compare as carry_out

        done = carry_out(plan, out, runs=options.runs, jobs=options.jobs, say=say)
        if done.summary is not None:
            _print(done.summary, done.files)
        end_on_failures(done.failures)


def plan_of(options: CompareOptions) -> "tuple[ComparisonPlan, Path]":
    """What a command line asks for, and the folder of the results.

    Raises:
        ValueError: for what cannot be asked for.
    """
    from metarl_gan.comparison.choices import choose_methods, parse_method
    from metarl_gan.comparison.jobs import EvaluationPlan
    from metarl_gan.comparison.plan import ComparisonPlan, read_seeds

    family, budget, out = options.family, options.budget_real_steps, options.out
    if family is None or budget is None or out is None:
        given = {"--family": family, "--budget-real-steps": budget, "--out": out}
        lacking = " and ".join(name for name, value in given.items() if value is None)
        raise UsageError(f"{lacking} needed; or --report DIR for the results in a folder")
    plan = ComparisonPlan(
        family=family,
        methods=choose_methods(options.methods, [parse_method(words) for words in options.method]),
        budget_real_steps=budget,
        seeds=read_seeds(options.seeds),
        preset=options.preset,
        evaluation=EvaluationPlan(
            split=options.split,
            tasks=options.tasks,
            episodes=options.episodes,
            seed=options.evaluation_seed,
            scored_episodes=options.scored_episodes,
        ),
        baseline=options.baseline,
        thresholds=options.thresholds,
    )
    return plan, out


def _report_only(folder: Path, options: CompareOptions) -> None:
    from metarl_gan.comparison.report import save_report

    baseline, thresholds, gap_to = options.baseline, options.thresholds, options.gap_to
    alone = CompareOptions(report=folder, baseline=baseline, thresholds=thresholds, gap_to=gap_to)
    if options != alone:
        raise UsageError(
            "--report DIR makes the report from the results in DIR; give it alone, or with "
            "--baseline, --thresholds and --gap-to"
        )
    if gap_to is not None:
        _report_gap(folder, gap_to, baseline)
        return
    _print(*save_report(folder, baseline=baseline, thresholds=thresholds))


def _report_gap(folder: Path, against: Path, baseline: str | None) -> None:
    from metarl_gan.commands import print_files
    from metarl_gan.comparison.gap import GapSummary
    from metarl_gan.tables import make_console

    summary = GapSummary.of(folder, against, baseline=baseline)
    make_console().print(summary.grid().as_table())
    print_files(summary.save(folder))


def _list_methods(options: CompareOptions) -> None:
    from metarl_gan.envs import make_family
    from metarl_gan.methods.registry import METHODS, make_method
    from metarl_gan.tables import make_console, settings_table

    if replace(options, family=None) != CompareOptions(list_methods=True):
        raise UsageError("--list-methods lists the methods; give it alone, or with --family")
    told: dict[str, object] = {name: entry.summary for name, entry in METHODS.items()}
    if options.family is not None:
        family = make_family(options.family)
        for name in METHODS:
            objection = make_method(name).objection(family)
            told[name] = objection or told[name]
    make_console().print(settings_table("Methods", told))


def _print(summary: "ComparisonSummary", files: dict[str, Path]) -> None:
    from metarl_gan.commands import print_files
    from metarl_gan.comparison.report import grids, verdict
    from metarl_gan.tables import make_console

    console = make_console()
    for grid in grids(summary):
        console.print(grid.as_table())
    console.print(verdict(summary), markup=False, highlight=False)
    print_files(files)
