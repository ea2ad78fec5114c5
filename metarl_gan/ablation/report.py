"""The tables and files of an ablation, made from the files of its jobs alone."""

from pathlib import Path

from metarl_gan.ablation.arms import GAN, NONE
from metarl_gan.ablation.figure import ablation_figure
from metarl_gan.ablation.results import UNITS, read_results
from metarl_gan.ablation.summary import AblationSummary
from metarl_gan.grid import NOTHING, Grid, after_episodes
from metarl_gan.report_files import write_bytes, write_figure, write_json
from metarl_gan.tables import show_interval

SHOWN = 12
"""Most lines on what makes arms unequal; the summary has all."""


def save_report(folder: Path) -> tuple[AblationSummary, dict[str, Path]]:
    """Aggregate the results in a folder and write `summary.json`, `table.md`, `ablation.png`.

    Returns:
        The summary, and the files by kind: "json", "md", "png".

    Raises:
        ReportError: when there are no results, or they do not go together.
    """
    summary = AblationSummary.of(read_results(folder))
    text = "\n\n".join([verdict(summary), *(grid.as_markdown() for grid in grids(summary))])
    return summary, {
        "json": write_json(folder / "summary.json", {"kind": "ablation", **summary.as_json()}),
        "md": write_bytes(folder / "table.md", f"{text}\n\n`{summary.command}`\n".encode()),
        "png": write_figure(folder / "ablation.png", ablation_figure(summary)),
    }


def verdict(summary: AblationSummary) -> str:
    """Whether the comparison is fair, and if not, which arms make it so."""
    lines = []
    if summary.fair:
        spent = summary.arms[0].spent
        updates = max(arm.spent["generator_updates"] for arm in summary.arms)
        lines.append(
            f"A fair comparison: in every seed all arms took equal real steps (mean "
            f"{spent['real_steps']:,.0f}) and outer steps ({spent['outer_steps']:,.0f}), and those "
            f"that train a generator equal updates of it ({updates:,.0f})."
        )
    else:
        lines.append("NOT a fair comparison; the arms differ in more than what they are about:")
        lines += [f"- {line}" for line in summary.unequal[:SHOWN]]
        if len(summary.unequal) > SHOWN:
            lines.append(f"- and {len(summary.unequal) - SHOWN} more: see summary.json")
    lines += [f"Incomplete: {line}." for line in summary.missing]
    if max(len(arm.seeds) for arm in summary.arms) == 1:
        lines.append("One seed only: intervals are over tasks and say nothing of other seeds.")
    if summary.dropped:
        lines.append(f"{summary.dropped} tasks broke in some evaluation and are left out of all.")
    if len(summary.versions) > 1:
        lines.append("The results were made with different versions; see summary.json.")
    return "\n".join(lines)


def grids(summary: AblationSummary) -> tuple[Grid, ...]:
    """Returns; differences and probabilities of improvement; fidelity; costs."""
    return (_returns(summary), _comparisons(summary), _fidelities(summary), _costs(summary))


def _returns(summary: AblationSummary) -> Grid:
    rows = []
    for arm in summary.arms:
        rows.append((arm.name, *map(show_interval, arm.returns)))
        if arm.real_only:
            rows.append((f"{arm.name}, same agent, real only", *map(show_interval, arm.real_only)))
    seeds = sorted({len(arm.seeds) for arm in summary.arms})
    return Grid(
        title=f"Return on {summary.tasks} held-out tasks of {summary.family} ({summary.split} "
        f"split), {'-'.join(map(str, seeds))} seeds: IQM [95 % interval]",
        header=("arm", *(after_episodes(episode) for episode in range(summary.episodes + 1))),
        rows=tuple(rows),
    )


def _comparisons(summary: AblationSummary) -> Grid:
    rows = []
    for episode in range(1, summary.episodes + 1):
        for arm in summary.arms:
            interval = arm.difference[episode] if arm.difference else None
            difference = NOTHING if interval is None else show_interval(interval, signed=True)
            chances = (
                NOTHING if chance is None else f"{chance[episode]:.2f}"
                for chance in (arm.over_none, arm.over_gan)
            )
            rows.append((f"{arm.name}, {after_episodes(episode)}", difference, *chances))
    return Grid(
        title="Differences paired by seed and task: IQM [95 % interval]; probability that a run is "
        "better on a task",
        header=("arm", f"difference to {NONE}", f"P(> {NONE})", f"P(> {GAN})"),
        rows=tuple(rows),
    )


def _fidelities(summary: AblationSummary) -> Grid:
    names = list(dict.fromkeys(name for arm in summary.arms for name in arm.cosines))
    rows = []
    for arm in summary.arms:
        cosines = (f"{arm.cosines[name]:.2f}" if name in arm.cosines else NOTHING for name in names)
        share = NOTHING if arm.share is None else f"{arm.share:.0%}"
        rows.append((arm.name, *cosines, share, f"{arm.training_share:.0%}"))
    return Grid(
        title="Mean cosine to the true inner gradient by data, given one real episode; mean share "
        "of generated data",
        header=("arm", *(name.replace("_", " ") for name in names), "share", "share in training"),
        rows=tuple(rows),
    )


def _costs(summary: AblationSummary) -> Grid:
    units = {**UNITS, "simulator_steps": "simulator steps"}
    rows = (
        (
            arm.name,
            *(f"{arm.spent[unit]:,.0f}" for unit in units),
            f"{arm.training_seconds:,.0f}",
        )
        for arm in summary.arms
    )
    return Grid(
        title="What training took, mean over seeds",
        header=("arm", *units.values(), "seconds"),
        rows=tuple(rows),
    )
