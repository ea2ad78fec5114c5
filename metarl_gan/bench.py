"""`metarl-gan bench`: the speeds that matter, each beside what it has to be compared with."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import gymnasium
from rich import box
from rich.markup import escape
from rich.table import Table

from metarl_gan.bench_cases import Findings, measure_collection
from metarl_gan.bench_environments import measure_environments
from metarl_gan.bench_imagination import (
    measure_imagination,
    measure_wide_imagination,
    wide_config,
)
from metarl_gan.bench_learners import (
    SIZES,
    measure_iteration,
    measure_meta_gradients,
)
from metarl_gan.bench_precision import compare_precisions
from metarl_gan.bench_timing import Spread, machine
from metarl_gan.envs import make_family
from metarl_gan.envs.family import TaskFamily
from metarl_gan.grid import Grid
from metarl_gan.processor import keep_freed_memory
from metarl_gan.report_files import write_bytes, write_json
from metarl_gan.tables import make_console
from metarl_gan.usage import UsageError

REFERENCE_FAMILY, SIMPLE_FAMILY = "half-cheetah-velocity", "point-goal"
REFERENCE_ENVIRONMENT = "HalfCheetah-v5"
PRECISION_UPDATES = 200
"""Of the GAN whose imagination is compared in two precisions."""
STEPPED_FAMILIES = (REFERENCE_FAMILY, "ant-direction", "hopper-physics", "cartpole-physics")

SECONDS_OF_ITERATION: Mapping[str, float] = {SIMPLE_FAMILY: 1.0, "half-cheetah-direction": 3.0}
"""Target: what a meta-iteration may take on two processors."""

Benchmark = Callable[[str | None, float], list[Findings]]


def run(
    name: str = "all", *, family: str | None = None, seconds: float = 20.0, out: Path | None = None
) -> dict[str, Path]:
    """Run a benchmark, print its tables, write `bench-<name>.json` and its ratios as Markdown.

    Args:
        name: `envs`, `collection`, `imagination`, `learners`, or `all`.
        family: the task family to measure on; those of the project's targets if not given.
        seconds: for how long to go on with each table; five rounds are made in any case.
        out: folder of the JSON files; `runs/bench` if not given.

    Returns:
        The JSON files, by the benchmark's name.

    Raises:
        UsageError: for a name that is no benchmark.
    """
    if name != "all" and name not in BENCHMARKS:
        near = difflib.get_close_matches(name, BENCHMARKS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(BENCHMARKS)}, all"
        raise UsageError(f"unknown benchmark {name!r}; {hint}")
    keep_freed_memory()
    console, files = make_console(), {}
    for chosen in BENCHMARKS if name == "all" else (name,):
        found = BENCHMARKS[chosen](family, seconds)
        for findings in found:
            console.print(findings_table(findings))
            if findings.comparisons:
                console.print(comparisons_table(findings))
        content = {
            "kind": f"bench-{chosen}",
            "command": _command(chosen, family),
            "machine": machine(),
            "findings": [findings.as_json() for findings in found],
        }
        folder = out or Path("runs/bench")
        files[chosen] = write_json(folder / f"bench-{chosen}.json", content)
        write_bytes(folder / f"bench-{chosen}.md", _markdown(found).encode())
        console.print(f"JSON {files[chosen]}", highlight=False)
    return files


def collection(family: str | None, seconds: float) -> list[Findings]:
    """Real steps: the collector, as the trainer uses it, against stepping alone."""
    names = (family,) if family else (REFERENCE_FAMILY, SIMPLE_FAMILY)
    found = [measure_collection(make_family(name), seconds=seconds) for name in names]
    # What costs next to nothing to step is there for scale: any policy costs a multiple of it.
    return [
        findings if name == REFERENCE_FAMILY else replace(findings, target=None)
        for name, findings in zip(names, found, strict=True)
    ]


def imagination(family: str | None, seconds: float) -> list[Findings]:
    """Imagined transitions against real steps of the same spaces, and against matrix products."""
    chosen = make_family(family or REFERENCE_FAMILY)
    single = _single_environment(chosen)
    found = measure_imagination(chosen, single, seconds=seconds)
    wide = measure_wide_imagination(chosen, single, seconds=seconds)
    single.close()
    comparisons = compare_precisions(chosen, wide_config(updates=PRECISION_UPDATES))
    return [found, replace(wide, comparisons=comparisons)]


def envs(family: str | None, seconds: float) -> list[Findings]:
    """Every backend beside Gymnasium's and Stable-Baselines3's, and the physics alone."""
    names = (family,) if family else STEPPED_FAMILIES
    return [measure_environments(make_family(name), seconds=seconds) for name in names]


def learners(family: str | None, seconds: float) -> list[Findings]:
    """Meta-gradients against a sequential loop over tasks; meta-iterations with all that is in."""
    names = (family,) if family else tuple(SECONDS_OF_ITERATION)
    return [
        *(measure_meta_gradients(*size, seconds=seconds) for size in SIZES),
        *(
            measure_iteration(
                make_family(name), seconds=seconds, most_seconds=SECONDS_OF_ITERATION.get(name)
            )
            for name in names
        ),
    ]


BENCHMARKS: Mapping[str, Benchmark] = {
    "envs": envs,
    "collection": collection,
    "imagination": imagination,
    "learners": learners,
}


def findings_table(findings: Findings) -> Table:
    """Timings per transition, then ratios: median [minimum, maximum] over rounds."""
    rounds = len(findings.timings[0].wall_seconds)
    table = Table(
        title=escape(f"{findings.title}: median [min, max] of {rounds} rounds"),
        caption=f"Target: ratio {findings.target}." if findings.target else None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        title_style="bold",
    )
    table.add_column("")
    counted = any(timing.flops for timing in findings.timings)
    columns = ("transitions/s", "µs by the clock", "µs of processor time")
    for column in (*columns, "GFLOP/s") if counted else columns:
        table.add_column(column, justify="right")
    for timing in findings.timings:
        spreads = (timing.wall_microseconds, timing.cpu_microseconds)
        speed = f"{timing.gflops.median:,.0f}" if timing.flops else ""
        cells = (timing.name, f"{timing.per_second:,.0f}", *map(_show, spreads), speed)
        table.add_row(*cells[: len(table.columns)])
    table.add_section()
    for ratio in findings.ratios:
        table.add_row(ratio.name, "", *(f"× {_show(spread)}" for spread in (ratio.wall, ratio.cpu)))
    return table


def comparisons_table(findings: Findings) -> Table:
    """What was compared besides times: median [minimum, maximum]."""
    table = Table(box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("")
    table.add_column("median [min, max]", justify="right")
    for name, spread in findings.comparisons.items():
        digits = f"{spread.median:.4f} [{spread.min:.4f}, {spread.max:.4f}]"
        table.add_row(escape(name), digits)
    return table


def _markdown(found: Sequence[Findings]) -> str:
    """What carries over to other machines: ratios, and what was compared besides times."""
    grids = []
    for findings in found:
        ratios = tuple((one.name, _show(one.wall), _show(one.cpu)) for one in findings.ratios)
        if ratios:
            header = ("times as long", "by the clock", "in processor time")
            grids.append(Grid(title=findings.title, header=header, rows=ratios))
        others = tuple((name, _show(spread)) for name, spread in findings.comparisons.items())
        if others:
            header = ("", "median [min, max]")
            grids.append(Grid(title=findings.title, header=header, rows=others))
    return "\n\n".join(grid.as_markdown() for grid in grids) + "\n"


def _single_environment(family: TaskFamily) -> gymnasium.Env:
    """Gymnasium's own environment where the family has its physics, else that of a task."""
    if family.name == REFERENCE_FAMILY:
        return gymnasium.make(REFERENCE_ENVIRONMENT)
    return family.make(family.sample(1, split="train", seed=0)[0])


def _show(spread: Spread) -> str:
    return f"{spread.median:,.2f} [{spread.min:,.2f}, {spread.max:,.2f}]"


def _command(name: str, family: str | None) -> str:
    return f"metarl-gan bench {name}" + (f" --family {family}" if family else "")
