"""How many real steps generated data saves, of every family that this was measured on.

    python benchmarks/real_steps.py

Gathers `results/sample_efficiency/*/summary.json` in one table: real steps of training to half of
the reference score, with generated data and without, at as many updates.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metarl_gan.grid import NOTHING, Grid
from metarl_gan.statistics import Interval
from metarl_gan.tables import show_interval

RESULTS = Path(__file__).parent / "results" / "sample_efficiency"
COMMAND = "python benchmarks/real_steps.py"


def main() -> None:
    """Print and write the table."""
    found = Grid(
        title="Real steps of training until the validation return first was half of the way from "
        "standing still to the reference: median over seeds (seeds that came there), and times "
        "fewer than without generated data [95 % interval]; at the end of the budget, the "
        "difference on held-out tasks, paired by seed and task",
        header=(
            "family",
            "learner",
            "half",
            "with generated data",
            "without",
            "times fewer",
            "budget",
            "difference at its end",
        ),
        rows=tuple(row for path in sorted(RESULTS.glob("*/summary.json")) for row in rows_of(path)),
    ).as_markdown()
    print(found)
    (RESULTS / "table.md").write_text(f"{found}\n\n`{COMMAND}`\n", encoding="utf-8")


def rows_of(path: Path) -> Iterator[tuple[str, ...]]:
    """Of one comparison: each method beside the baseline, which is without generated data."""
    summary = json.loads(path.read_text(encoding="utf-8"))
    scale, methods = summary["scale"], {each["name"]: each for each in summary["methods"]}
    half = (scale["zero"] + scale["reference"]) / 2
    baseline = methods.pop(summary["baseline"])
    place = nearest(half, [each["threshold"] for each in baseline["reached"]])
    for name, method in methods.items():
        sooner, difference = method["sooner"][place], method["difference"][-1]
        at_least = "≥ " if sooner and sooner["at_least"] else ""
        yield (
            path.parent.name,
            name,
            f"{baseline['reached'][place]['threshold']:.4g}",
            steps_to(method["reached"][place]),
            steps_to(baseline["reached"][place]),
            f"{at_least}{show_interval(Interval(**sooner['ratio']))}" if sooner else NOTHING,
            f"{summary['budget_real_steps']:,}",
            show_interval(Interval(**difference), signed=True),
        )


def nearest(value: float, thresholds: list[float]) -> int:
    """Where the threshold is that a comparison has for half of the reference."""
    place = min(range(len(thresholds)), key=lambda index: abs(thresholds[index] - value))
    if abs(thresholds[place] - value) > 0.01 * abs(value):
        raise SystemExit(f"no threshold of {thresholds} is half of the reference, {value:g}")
    return place


def steps_to(reached: Mapping[str, Any]) -> str:
    """Median, and how many of the seeds came there."""
    steps = NOTHING if reached["real_steps"] is None else f"{reached['real_steps']:,.0f}"
    return f"{steps} ({reached['seeds']}/{reached['of']})"


if __name__ == "__main__":
    main()
