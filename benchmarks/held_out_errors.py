"""What a generator knows of next states and of rewards, as real steps come in.

    python benchmarks/held_out_errors.py --family ant-goal

Context SAC's settings, training tasks, and a policy that never learns: held-out one-step errors of
each meta-iteration's new tasks, after one real episode of each. 1 is what predicting the mean of
all tasks would give; the gate begins to open at 0.1.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import metarl_gan
from metarl_gan.grid import Grid
from metarl_gan.report_files import installed_versions, write_json
from metarl_gan.tables import make_console

RESULTS = Path(__file__).parent / "results" / "held_out_errors"
SETTINGS = {
    "learner.algorithm": "context_sac",
    "sac.warm_up_real_steps": 4000,
    "sac.initial_updates": 0,
    "sac.updates_per_real_step": 0.0,
}
SEED, REAL_STEPS, STEPS_PER_ROW = 100, 40_000, 8000
HEADS = ("next_state", "reward", "terminated")


def main() -> None:
    """Train, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", default="ant-goal")
    family = parser.parse_args().family
    with tempfile.TemporaryDirectory() as folder:
        metarl_gan.train(
            family,
            {**SETTINGS, "max_real_steps": REAL_STEPS, "iterations": 10**6},
            preset="default",
            out=Path(folder) / "run",
            seed=SEED,
        )
        lines = (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()
    rows = [
        {"real_steps": metrics["real_steps"]}
        | {head: metrics[f"held_out_{head}_error"] for head in HEADS}
        for metrics in map(json.loads, lines)
        if "held_out_reward_error" in metrics
    ]
    command = f"python benchmarks/held_out_errors.py --family {family}"
    write_json(
        RESULTS / f"{family}.json",
        {
            "command": command,
            "settings": SETTINGS,
            "seed": SEED,
            "versions": installed_versions(),
            "rows": rows,
        },
    )
    table = table_of(family, rows)
    (RESULTS / f"{family}.md").write_text(f"{table.as_markdown()}\n\n`{command}`\n")
    make_console().print(table.as_table())


def table_of(family: str, rows: list[dict[str, float]]) -> Grid:
    """Means over the meta-iterations of each stretch of real steps."""
    lines = []
    for last in range(STEPS_PER_ROW, REAL_STEPS + 1, STEPS_PER_ROW):
        stretch = [row for row in rows if last - STEPS_PER_ROW < row["real_steps"] <= last]
        means = [sum(row[head] for row in stretch) / len(stretch) for head in HEADS]
        lines.append((f"to {last:,}", *(f"{value:.2f}" for value in means)))
    return Grid(
        title=f"Held-out one-step errors on new tasks of {family}, seed {SEED}",
        header=("real steps", *(head.replace("_", " ") for head in HEADS)),
        rows=tuple(lines),
    )


if __name__ == "__main__":
    main()
