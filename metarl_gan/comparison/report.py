"""The tables and files of a comparison, made from the files of its jobs alone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from metarl_gan.comparison.figure import comparison_figure
from metarl_gan.comparison.measures import TAIL, Reached, Sooner
from metarl_gan.comparison.results import Expected, Results, read_results
from metarl_gan.comparison.scale import Scale
from metarl_gan.comparison.summary import ComparisonSummary
from metarl_gan.grid import NOTHING, Grid, after_episodes
from metarl_gan.report_files import write_bytes, write_csv, write_figure, write_json
from metarl_gan.statistics import Interval
from metarl_gan.tables import show_interval, tasks_of

COLUMNS = (0, 1, 2, 3, 5, 10, 20, 50, 100)
"""Real episodes shown in the table of returns, beside the last; `returns.csv` has all."""
RETURNS_HEADER = ("method", "seed", "task", "real_episodes", "return", "normalised_score")
LEARNING_HEADER = ("method", "seed", "real_steps", "seconds", "validation_return")


def summarise(
    folder: Path, *, baseline: str | None = None, thresholds: tuple[float, ...] = ()
) -> tuple[ComparisonSummary, Results]:
    """Aggregate the results in a folder.

    Args:
        folder: of the results.
        baseline: in place of the plan's.
        thresholds: in place of the plan's.

    Raises:
        ValueError: when there are no results, they do not go together, or none is the baseline's.
    """
    expected = Expected.read(folder)
    expected = replace(
        expected,
        baseline=baseline or expected.baseline,
        thresholds=thresholds or expected.thresholds,
    )
    results = read_results(folder, expected)
    return ComparisonSummary.of(results, expected), results


def save_report(
    folder: Path, *, baseline: str | None = None, thresholds: tuple[float, ...] = ()
) -> tuple[ComparisonSummary, dict[str, Path]]:
    """Aggregate the results in a folder and write summary, table, rows and figure there.

    Takes and raises what `summarise` does.

    Returns:
        The summary, and the files by kind: "json", "md", "csv", "learning" (CSV too), "png".
    """
    summary, results = summarise(folder, baseline=baseline, thresholds=thresholds)
    text = "\n\n".join([verdict(summary), *(grid.as_markdown() for grid in grids(summary))])
    content = {"kind": "comparison-summary", **summary.as_json()}
    command = summary.command
    returns, learning = _return_rows(results, summary.scale), _learning_rows(results)
    figure = comparison_figure(summary)
    return summary, {
        "json": write_json(folder / "summary.json", content),
        "md": write_bytes(folder / "table.md", f"{text}\n\n`{command}`\n".encode()),
        "csv": write_csv(folder / "returns.csv", RETURNS_HEADER, returns, comment=command),
        "learning": write_csv(folder / "learning.csv", LEARNING_HEADER, learning, comment=command),
        "png": write_figure(folder / "comparison.png", figure, description=command),
    }


def verdict(summary: ComparisonSummary) -> str:
    """Whether the comparison is fair and whole, and what to know in reading it."""
    lines = []
    if summary.unequal:
        lines.append("NOT a fair comparison:")
        lines += [f"- {line}" for line in summary.unequal]
    else:
        lines.append(
            f"Every method had {summary.budget_real_steps:,} real steps of training per seed."
        )
    lines += [f"Note: {line}." for line in summary.unspent]
    lines += [f"Incomplete: {line}." for line in summary.missing]
    if max(len(method.seeds) for method in summary.methods) == 1:
        lines.append("One seed only: intervals are over tasks and say nothing of other seeds.")
    if summary.dropped:
        lines.append(f"{summary.dropped} tasks broke in some evaluation and are left out of all.")
    if len(summary.versions) > 1:
        lines.append("The results were made with different versions; see summary.json.")
    return "\n".join(lines)


def grids(summary: ComparisonSummary) -> tuple[Grid, ...]:
    """Returns; scores, tails and chances; time to thresholds where there are some; costs."""
    times = (_times(summary),) if summary.methods[0].reached else ()
    return (_returns(summary), _comparisons(summary), *times, _costs(summary))


def _returns(summary: ComparisonSummary) -> Grid:
    seeds = sorted({len(method.seeds) for method in summary.methods})
    columns = _episodes_shown(summary.episodes)
    return Grid(
        title=f"Return on {summary.tasks} {tasks_of(summary.split)} of {summary.family} "
        f"({summary.split} split), {'-'.join(map(str, seeds))} seed{'s' * (seeds != [1])}: "
        "IQM [95 % interval]",
        header=("method", *map(after_episodes, columns)),
        rows=tuple(
            (method.name, *(show_interval(method.returns[count]) for count in columns))
            for method in summary.methods
        ),
    )


def _episodes_shown(episodes: int) -> tuple[int, ...]:
    """Real episodes that have a column: the first ones, the last, and some between."""
    return tuple(count for count in range(episodes + 1) if count in COLUMNS or count == episodes)


def _comparisons(summary: ComparisonSummary) -> Grid:
    scale = summary.scale
    rows = []
    for method in summary.methods:
        scores = [_shown(method.scores)] if scale else []
        tail = show_interval(method.cvar[-1])
        rows.append(
            (
                method.name,
                *scores,
                tail,
                _shown(method.difference, signed=True),
                _shown(method.improvement),
            )
        )
    known = (
        f"; score 0 is {scale.floor} ({scale.zero:g}), 1 is {scale.reference:g}" if scale else ""
    )
    return Grid(
        title=f"{after_episodes(summary.episodes).capitalize()}{known}; differences are paired by "
        "seed and task",
        header=(
            "method",
            *(("normalised score (IQM)",) if scale else ()),
            f"CVaR, worst {TAIL:.0%} of tasks",
            f"difference to {summary.baseline}",
            f"P(> {summary.baseline})",
        ),
        rows=tuple(rows),
    )


def _times(summary: ComparisonSummary) -> Grid:
    header: list[str] = ["method"]
    for found in summary.methods[0].reached:
        header += [f"real steps to {found.threshold:.4g}", "times fewer", "seconds"]
    rows = []
    for method in summary.methods:
        sooner = method.sooner or (None,) * len(method.reached)
        pairs = zip(method.reached, sooner, strict=True)
        rows.append((method.name, *(cell for pair in pairs for cell in _time_cells(*pair))))
    return Grid(
        title="Training until the validation return first was there: median over seeds (seeds that "
        f"came there), and how many times fewer real steps than {summary.baseline} [95 % interval]",
        header=tuple(header),
        rows=tuple(rows),
    )


def _time_cells(found: Reached, sooner: Sooner | None) -> tuple[str, str, str]:
    count = f"({found.seeds}/{found.of})"
    steps = NOTHING if found.real_steps is None else f"{found.real_steps:,.0f}"
    seconds = NOTHING if found.seconds is None else f"{found.seconds:,.0f}"
    return f"{steps} {count}", _times_fewer(sooner), seconds


def _times_fewer(sooner: Sooner | None) -> str:
    if sooner is None or sooner.ratio.high == 0:  # neither came there, or hardly any of our seeds
        return NOTHING
    return f"{'≥ ' if sooner.at_least else ''}{show_interval(sooner.ratio)}"


def _costs(summary: ComparisonSummary) -> Grid:
    names = {
        "real_steps": "real steps of training",
        "validation_real_steps": "of validation",
        "evaluation_real_steps": "of adaptation and scoring",
        "training_seconds": "seconds of training",
        "processor_seconds": "of processors",
    }
    return Grid(
        title="What it took, mean over seeds",
        header=("method", *names.values()),
        rows=tuple(
            (method.name, *(f"{method.spent[name]:,.0f}" for name in names))
            for method in summary.methods
        ),
    )


def _shown(intervals: tuple[Interval, ...] | None, *, signed: bool = False) -> str:
    """After the last real episode."""
    return NOTHING if intervals is None else show_interval(intervals[-1], signed=signed)


def _return_rows(results: Results, scale: Scale | None) -> Iterator[tuple[object, ...]]:
    for name, of_one in results.items():
        for result in of_one:
            returns = result.report.returns
            scores = None if scale is None else scale.score(returns)
            for row, task in enumerate(result.report.task_ids):
                for episode in range(result.report.episodes + 1):
                    score = "" if scores is None else float(scores[row, episode])
                    yield name, result.seed, task, episode, float(returns[row, episode]), score


def _learning_rows(results: Results) -> Iterator[tuple[object, ...]]:
    for name, of_one in results.items():
        for result in of_one:
            for point in result.learning_curve:
                yield name, result.seed, point.real_steps, point.seconds, point.validation_return
