"""`metarl-gan ablate`: arms by seeds at equal cost, or the report on what there is."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from metarl_gan.cli_options import AblateOptions, parse_with_settings
from metarl_gan.config import Config
from metarl_gan.config_io import Layer, merge_layers, read_config_file
from metarl_gan.jobs.console import end_on_failures, say
from metarl_gan.usage import UsageError

if TYPE_CHECKING:
    from metarl_gan.ablation.plan import AblationPlan
    from metarl_gan.ablation.summary import AblationSummary


def ablate(args: Sequence[str]) -> None:
    """`metarl-gan ablate`: train, evaluate, compare; 1 if a job failed."""
    options, flags = parse_with_settings(AblateOptions, "ablate", args)
    if options.report is not None:
        _report_only(options.report, options, flags)
        return
    plan, out = plan_of(options, flags)
    from metarl_gan.ablation.run import ablate as carry_out

    done = carry_out(plan, out, runs=options.runs, jobs=options.jobs, say=say)
    if done.summary is not None:
        _print(done.summary, done.files)
    end_on_failures(done.failures)


def plan_of(options: AblateOptions, flags: dict[str, str]) -> "tuple[AblationPlan, Path]":
    """What a command line asks for, and the folder of the results.

    Raises:
        ValueError: for what cannot be asked for.
    """
    from metarl_gan.ablation.arms import choose_arms, parse_arm
    from metarl_gan.ablation.jobs import EvaluationPlan
    from metarl_gan.ablation.plan import AblationPlan

    if options.family is None or options.out is None:
        lacking = "--family" if options.family is None else "--out"
        raise UsageError(f"{lacking} is needed; or --report DIR for the results in a folder")
    if "seed" in flags:
        raise UsageError("--seed is of one run; give --seeds, such as --seeds 0 1 2 3 4")
    layers = [read_config_file(options.config)] if options.config else []
    settings = merge_layers(Config, *layers, Layer(source="command line", values=flags))
    plan = AblationPlan(
        family=options.family,
        arms=choose_arms(options.arms, [parse_arm(words) for words in options.arm]),
        seeds=options.seeds,
        preset=options.preset,
        settings=settings,
        evaluation=EvaluationPlan(
            split=options.split,
            tasks=options.tasks,
            episodes=options.episodes,
            seed=options.evaluation_seed,
            fidelity_tasks=options.fidelity_tasks,
        ),
    )
    return plan, options.out


def _report_only(folder: Path, options: AblateOptions, flags: dict[str, str]) -> None:
    from metarl_gan.ablation.report import save_report

    if flags or options != AblateOptions(report=folder):
        raise UsageError("--report DIR makes the report from the results in DIR; give it alone")
    _print(*save_report(folder))


def _print(summary: "AblationSummary", files: dict[str, Path]) -> None:
    from metarl_gan.ablation.report import grids, verdict
    from metarl_gan.commands import print_files
    from metarl_gan.tables import make_console

    console = make_console()
    for grid in grids(summary):
        console.print(grid.as_table())
    console.print(verdict(summary), markup=False, highlight=False)
    print_files(files)
