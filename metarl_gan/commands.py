"""The sub-commands that train, evaluate and report. Each takes its arguments as written.

What they need to run (torch above all) is imported when they run, so that their `--help` does
not wait for it.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import fields
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from metarl_gan.cli_options import (
    BenchOptions,
    EvaluateOptions,
    FidelityOptions,
    ReportOptions,
    TrainOptions,
    VideoOptions,
    parse,
    parse_with_settings,
)
from metarl_gan.config import Config
from metarl_gan.config_io import Layer, merge_layers, read_config_file
from metarl_gan.usage import UsageError

if TYPE_CHECKING:
    from metarl_gan.agent import MetaAgent
    from metarl_gan.reports import AdaptationReport, ArmComparison, FidelityReport

EVALUATION_FOLDER = "evaluation"
RESUMABLE = {"resume", "iterations", "max_real_steps"}


def train(args: Sequence[str]) -> None:
    """`metarl-gan train`: meta-train or resume, and say where the run is."""
    options, flags = parse_with_settings(TrainOptions, "train", args)
    agent = _resume(options, flags) if options.resume else _train_anew(options, flags)
    print(f"trained for {agent.real_steps:,} real steps; the run is in {agent.run_folder}")
    print(f"next: metarl-gan evaluate {shlex.quote(str(agent.run_folder))}")


def evaluate(args: Sequence[str]) -> None:
    """`metarl-gan evaluate`: both arms on the same tasks and seeds; table, JSON, CSV, PNG."""
    from metarl_gan import api

    options = parse(EvaluateOptions, "evaluate", args)
    agent = api.load(options.run, device=options.device)
    comparison = evaluate_arms(agent, options)
    print_comparison(comparison, options.out or options.run / EVALUATION_FOLDER)


def fidelity(args: Sequence[str]) -> None:
    """`metarl-gan fidelity`: table, JSON, PNG and TensorBoard of the generator's fidelity."""
    from metarl_gan import api
    from metarl_gan.fidelity_tensorboard import write_fidelity
    from metarl_gan.tables import fidelity_table, make_console

    options = parse(FidelityOptions, "fidelity", args)
    report = api.fidelity(
        api.load(options.run, device=options.device),
        split=options.split,
        tasks=options.tasks,
        episodes=options.episodes,
        seed=options.seed,
    )
    files = report.save(options.out or options.run / EVALUATION_FOLDER)
    if not options.no_tensorboard:
        files["tb"] = write_fidelity(report, options.run)
    make_console().print(fidelity_table(report))
    print_dropped(report, files["json"])
    print_files(files)


def video(args: Sequence[str]) -> None:
    """`metarl-gan video`: the agent in held-out tasks, before and after adapting, as a GIF."""
    from metarl_gan import api

    options = parse(VideoOptions, "video", args)
    agent = api.load(options.run, device=options.device)
    path = options.out or options.run / EVALUATION_FOLDER / "adaptation.gif"
    made = api.record(
        agent,
        split=options.split,
        tasks=options.tasks,
        episodes=options.episodes,
        seed=options.seed,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save(path)
    print_files({"gif": path})


def report(args: Sequence[str]) -> None:
    """`metarl-gan report`: tables of what a run folder holds."""
    from metarl_gan.run_report import print_run

    print_run(parse(ReportOptions, "report", args).run)


def bench(args: Sequence[str]) -> None:
    """`metarl-gan bench`: speeds on this machine."""
    options = parse(BenchOptions, "bench", args)
    from metarl_gan.bench import run

    run(options.name, family=options.family, seconds=options.seconds, out=options.out)


def evaluate_arms(agent: "MetaAgent", options: EvaluateOptions) -> "ArmComparison":
    """The arms of an agent on the same tasks and seeds; one arm if it has no generator."""
    from metarl_gan import api
    from metarl_gan.reports import ArmComparison

    arms = tuple(
        api.evaluate(
            agent,
            split=options.split,
            tasks=options.tasks,
            episodes=options.episodes,
            seed=options.seed,
            generated=generated,
        )
        for generated in ((True, False) if agent.config.uses_generator else (False,))
    )
    return ArmComparison(arms=arms)


def print_comparison(comparison: "ArmComparison", folder: Path) -> None:
    """Save a comparison and print its table and files."""
    from metarl_gan.tables import adaptation_table, make_console

    files = comparison.save(folder)
    make_console().print(adaptation_table(comparison))
    for arm in comparison.arms:
        print_dropped(arm, files["json"])
    print_files(files)


def print_dropped(report: "AdaptationReport | FidelityReport", file: Path) -> None:
    """Say on standard error which tasks broke, and how."""
    from metarl_gan.progress import dropped_lines

    # Reports of earlier versions do not say why.
    dropped = zip_longest(report.dropped_tasks, report.drop_reasons, fillvalue="")
    for line in dropped_lines(list(dropped), str(file)):
        print(line, file=sys.stderr)


def print_files(files: dict[str, Path]) -> None:
    """Print where files were written, one per line."""
    width = max(map(len, files)) + 1
    for kind, path in files.items():
        print(f"{kind.upper():<{width}}{path}")


def _train_anew(options: TrainOptions, flags: dict[str, str]) -> "MetaAgent":
    from metarl_gan import api

    layers = [read_config_file(options.config)] if options.config else []
    overrides = merge_layers(Config, *layers, Layer(source="command line", values=flags))
    return api.train(
        options.family,
        overrides,
        options.preset,
        options.out,
        options.seed,
        overwrite=options.overwrite,
        iterations=options.iterations,
        max_real_steps=options.max_real_steps,
    )


def _resume(options: TrainOptions, flags: dict[str, str]) -> "MetaAgent":
    from metarl_gan import api

    defaults = TrainOptions()
    given = [
        option.name
        for option in fields(options)
        if option.name not in RESUMABLE
        and getattr(options, option.name) != getattr(defaults, option.name)
    ]
    if given or flags:
        named = ", ".join("--" + name.replace("_", "-") for name in [*given, *flags])
        raise UsageError(
            f"--resume continues a run with its own settings; leave out {named} (a new budget is "
            "given with --iterations or --max-real-steps)"
        )
    return api.train(
        resume=options.resume,
        iterations=options.iterations,
        max_real_steps=options.max_real_steps,
    )
