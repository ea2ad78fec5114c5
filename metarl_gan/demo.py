"""The demo: train briefly, evaluate with and without generated data, say what is next."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from metarl_gan.cli_options import DemoOptions, EvaluateOptions, parse_with_settings
from metarl_gan.commands import EVALUATION_FOLDER, evaluate_arms, print_comparison
from metarl_gan.config import Config
from metarl_gan.config_io import Layer, merge_layers
from metarl_gan.report_files import write_json

if TYPE_CHECKING:
    from metarl_gan.agent import MetaAgent

MARKER = "demo.json"
"""Stands in folders that a demo made, so that the next demo may replace them."""

PRESET = "quick"


def demo(args: Sequence[str]) -> None:
    """`metarl-gan demo`: from nothing to an adaptation curve on held-out tasks."""
    from metarl_gan.envs import make_family

    options, flags = parse_with_settings(DemoOptions, "demo", args)
    family = make_family(options.family or Config().family)
    print(f"training on {family.name} with preset {PRESET}, seed {options.seed}", flush=True)
    agent = _train(options, family.name if options.family is None else options.family, flags)
    split = "test" if "test" in family.splits else "train"
    print(f"evaluating on {options.tasks} tasks of the {split} split", flush=True)
    evaluation = EvaluateOptions(
        run=options.out,
        split=split,
        tasks=options.tasks,
        episodes=options.episodes,
        seed=options.seed,
    )
    print_comparison(evaluate_arms(agent, evaluation), options.out / EVALUATION_FOLDER)
    _say_what_is_next(options.out, agent.config.iterations)


def _train(options: DemoOptions, family: str, flags: dict[str, str]) -> "MetaAgent":
    from metarl_gan import api

    overrides = merge_layers(Config, Layer(source="command line", values=flags))
    overwrite = options.overwrite or (options.out / MARKER).is_file()
    before = _identity(options.out)
    try:
        return api.train(
            family,
            overrides,
            PRESET,
            options.out,
            options.seed,
            overwrite=overwrite,
            iterations=options.iterations,
        )
    finally:
        # Stopped or finished, the folder is the demo's if training began in it.
        if options.out.is_dir() and _identity(options.out) != before:
            write_json(options.out / MARKER, {"made_by": "metarl-gan demo"})


def _identity(folder: Path) -> tuple[int, int] | None:
    """Tells a folder from one that was made anew in its place."""
    if not folder.exists():
        return None
    status = folder.stat()
    return status.st_ino, status.st_ctime_ns


def _say_what_is_next(out: Path, iterations: int) -> None:
    run = shlex.quote(str(out))
    print(f"run  {out} (checkpoints, metrics.jsonl, progress.csv, config.json)")
    print(f"TensorBoard: tensorboard --logdir {run}")
    print("next:")
    print(f"  metarl-gan fidelity {run}        # how true are the generated gradients?")
    print(f"  metarl-gan train --resume {run} --iterations {2 * iterations}   # train on")
    print("  metarl-gan families              # other task families")
    print("  metarl-gan demo --family half-cheetah-velocity     # the same on MuJoCo")
