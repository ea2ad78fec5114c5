"""Train a family with a preset on several seeds, evaluate both arms, and make table and plot.

    python benchmarks/adaptation.py run --family point-goal --preset quick --seeds 0 1 2 3 4
    python benchmarks/adaptation.py run --family point-goal --without-generator
    python benchmarks/adaptation.py report --family point-goal --preset quick

`run` skips the seeds that have a result, so that it can be stopped and started again. Every
seed's training is evaluated on the same held-out tasks. With `--without-generator` the agent is
trained without one, on as many real steps and outer updates. `report` reads the results only.
"""

import argparse
import json
import os
import shlex
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np

import metarl_gan
from metarl_gan.config_io import to_plain
from metarl_gan.plots import Curve, adaptation_figure
from metarl_gan.report_files import write_bytes, write_figure, write_json
from metarl_gan.reports import AdaptationReport, ArmComparison
from metarl_gan.statistics import (
    BOOTSTRAP_SEED,
    FloatArray,
    Interval,
    paired_difference_interval,
    stratified_bootstrap_interval,
)

RESULTS = Path(__file__).parent / "results" / "demo"
WITHOUT = "without-generator"
TASKS, EPISODES, EVALUATION_SEED = 40, 3, 0


def main() -> None:
    """Parse the command line, and run or report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["run", "report"])
    parser.add_argument("--family", default="point-goal")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--without-generator", action="store_true")
    parser.add_argument("--runs", type=Path, default=Path("runs/adaptation"))
    options = parser.parse_args()
    folder = RESULTS / f"{options.family}-{options.preset}"
    if options.action == "run":
        for seed in options.seeds:
            place = folder / WITHOUT if options.without_generator else folder
            run_seed(options, seed, place / f"seed-{seed}.json")
    report(folder)


def run_seed(options: argparse.Namespace, seed: int, result: Path) -> None:
    """Train one seed and evaluate it with and without generated data; write one file."""
    if result.exists():
        print(f"{result} is there already")
        return
    generated = not options.without_generator
    out = options.runs / result.parent.relative_to(RESULTS) / result.stem
    started = time.perf_counter()
    agent = metarl_gan.train(
        options.family,
        preset=options.preset,
        out=out,
        seed=seed,
        overwrite=True,
        generated=generated,
    )
    seconds = time.perf_counter() - started
    arms = tuple(
        metarl_gan.evaluate(
            agent, tasks=TASKS, episodes=EPISODES, seed=EVALUATION_SEED, generated=generated
        )
        for generated in ((True, False) if generated else (False,))
    )
    command = ["python", "benchmarks/adaptation.py", "run", "--family", options.family]
    command += ["--preset", options.preset, "--seeds", str(seed)]
    command += ["--without-generator"] if options.without_generator else []
    fidelity = metarl_gan.fidelity(agent, seed=EVALUATION_SEED).gradient_cosine if generated else {}
    write_json(
        result,
        {
            "command": shlex.join(command),
            "seed": seed,
            "training_seconds": seconds,
            "config": to_plain(agent.config),
            "fidelity": fidelity,
            "arms": [arm.to_dict() for arm in ArmComparison(arms=arms).arms],
        },
    )
    print(f"wrote {result}")


def report(folder: Path) -> None:
    """Table (Markdown) and plot over all seeds in a folder of results."""
    results = _read(folder)
    if not results:
        sys.exit(f"no results in {folder}; run this script with 'run' first")
    returns = {
        "generated": _returns(results, 0),
        "real only, same agent": _returns(results, 1),
    }
    if without := _read(folder / WITHOUT):
        returns["trained without generator"] = _returns(without, 0)
    write_bytes(folder / "table.md", _table(results, returns).encode())
    first = AdaptationReport.from_dict(results[0]["arms"][0])
    figure = adaptation_figure(
        [_curve(name, values) for name, values in returns.items()],
        title=f"{first.family}: {len(results)} seeds × {len(first.task_ids)} held-out tasks",
        floors=first.floors,
        reference=first.reference,
    )
    write_figure(folder / "adaptation.png", figure)
    print((folder / "table.md").read_text())


def _read(folder: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("seed-*.json"))]


def _returns(results: list[dict], arm: int) -> FloatArray:
    """`[seeds, tasks, episodes + 1]` of one arm."""
    reports = [AdaptationReport.from_dict(result["arms"][arm]) for result in results]
    return np.stack([report.returns for report in reports])


def _intervals(returns: FloatArray) -> list[Interval]:
    """Of the returns `[seeds, tasks, episodes + 1]`, one per number of real episodes."""
    return [
        stratified_bootstrap_interval(
            returns[:, :, episode], rng=np.random.default_rng(BOOTSTRAP_SEED)
        )
        for episode in range(returns.shape[2])
    ]


def _differences(ours: FloatArray, theirs: FloatArray) -> list[Interval]:
    return [
        paired_difference_interval(
            ours[:, :, episode],
            theirs[:, :, episode],
            rng=np.random.default_rng(BOOTSTRAP_SEED),
        )
        for episode in range(ours.shape[2])
    ]


def _curve(name: str, returns: FloatArray) -> Curve:
    intervals = _intervals(returns)
    return Curve(
        label=name,
        values=np.array([interval.estimate for interval in intervals]),
        interval=np.array([(interval.low, interval.high) for interval in intervals]),
    )


def _table(results: list[dict], returns: dict[str, FloatArray]) -> str:
    generated = returns["generated"]
    episodes = generated.shape[2]
    rows = [
        [
            "return, IQM [95 % interval]",
            *(f"after {k} real episode{'s' * (k != 1)}" for k in range(episodes)),
        ]
    ]
    rows += [[name, *map(_show, _intervals(values))] for name, values in returns.items()]
    for name, other in list(returns.items())[1:]:
        # Only seeds that both arms have can be paired.
        n = min(len(generated), len(other))
        paired = _differences(generated[:n], other[:n])
        rows.append([f"generated − {name} (paired)", *map(_show, paired)])
    before = np.repeat(generated[:, :, :1], episodes, axis=2)
    rows.append(["gain by adaptation, generated", *map(_show, _differences(generated, before))])
    rows.insert(1, ["---"] * (episodes + 1))
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    seconds = [result["training_seconds"] for result in results]
    steps = [result["arms"][0]["training_real_steps"] for result in results]
    cosines = {
        name: np.mean([result["fidelity"][name] for result in results])
        for name in results[0]["fidelity"]
    }
    lines += [
        "",
        f"{len(results)} seeds × {generated.shape[1]} held-out tasks; training took "
        f"{min(steps):,}-{max(steps):,} real steps and {min(seconds):.0f}-{max(seconds):.0f} s. "
        "Gradient cosine from one real episode: "
        + ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in cosines.items())
        + ".",
        "",
    ]
    return "\n".join(lines)


def _show(interval: Interval) -> str:
    return f"{interval.estimate:.1f} [{interval.low:.1f}, {interval.high:.1f}]"


if __name__ == "__main__":
    main()
