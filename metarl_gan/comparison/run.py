"""Comparisons: every method with every seed within one budget, evaluated alike, side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from metarl_gan.comparison.plan import ComparisonPlan
from metarl_gan.comparison.report import save_report
from metarl_gan.comparison.results import Expected
from metarl_gan.comparison.summary import ComparisonSummary
from metarl_gan.jobs.job import carry_out
from metarl_gan.jobs.pool import Failure

WORKER = "metarl_gan.comparison.worker"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What came of a comparison.

    Args:
        summary: of all results there are in the folder; `None` if every job failed.
        files: of the report, by kind.
        failures: jobs that failed.
    """

    summary: ComparisonSummary | None
    files: dict[str, Path]
    failures: tuple[Failure, ...]


def compare(
    plan: ComparisonPlan,
    out: str | Path,
    *,
    runs: str | Path | None = None,
    jobs: int = 2,
    say: Callable[[str], None] = print,
) -> Comparison:
    """Train and evaluate every method with every seed, and write the report.

    Jobs that have a result are skipped; training that was interrupted goes on from its run
    folder, so that the same call continues what was stopped.

    Args:
        plan: what is compared.
        out: folder of the results, `METHOD/seed-S.json`, and of the report.
        runs: folder of the run folders and logs; `out/runs` if not given.
        jobs: processes at a time.
        say: takes a line on each job that starts or ends.

    Raises:
        ValueError: for a plan that cannot be carried out, or results in `out` or runs in `runs`
            that are of other settings; nothing is started then.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once every process has ended.
    """
    out = Path(out)
    planned = plan.jobs(out, out / "runs" if runs is None else Path(runs))
    expected = Expected(
        jobs=tuple((job.choice.name, job.seed) for job in planned),
        baseline=plan.baseline,
        thresholds=plan.thresholds,
        command=plan.command(out),
    )
    failures = carry_out(planned, WORKER, processes=jobs, say=say, begin=lambda: expected.save(out))
    if len(failures) == len(planned):
        return Comparison(summary=None, files={}, failures=failures)
    summary, files = save_report(out)
    return Comparison(summary=summary, files=files, failures=failures)
