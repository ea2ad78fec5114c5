"""Ablations: every arm with every seed at equal cost, evaluated alike, and put side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from metarl_gan.ablation.plan import AblationPlan
from metarl_gan.ablation.report import save_report
from metarl_gan.ablation.summary import AblationSummary
from metarl_gan.jobs.job import carry_out
from metarl_gan.jobs.pool import Failure

WORKER = "metarl_gan.ablation.worker"


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """What came of an ablation.

    Args:
        summary: of all results there are in the folder; `None` if there is none.
        files: of the report, by kind.
        failures: jobs that failed.
    """

    summary: AblationSummary | None
    files: dict[str, Path]
    failures: tuple[Failure, ...]


def ablate(
    plan: AblationPlan,
    out: str | Path,
    *,
    runs: str | Path | None = None,
    jobs: int = 2,
    say: Callable[[str], None] = print,
) -> Ablation:
    """Train and evaluate every arm with every seed, and write the report.

    Jobs that have a result are skipped; training that was interrupted goes on from its run
    folder, so that the same call continues what was stopped.

    Args:
        plan: what is compared.
        out: folder of the results, `ARM/seed-S.json`, and of the report.
        runs: folder of the run folders and logs; `out/runs` if not given.
        jobs: processes at a time, of one torch thread each unless `torch_threads` says otherwise.
        say: takes a line on each job that starts or ends.

    Raises:
        ValueError: for a plan that cannot be carried out, or results in `out` or runs in `runs`
            that are of other settings; nothing is started then.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once every process has ended.
    """
    out = Path(out)
    planned = plan.jobs(out, out / "runs" if runs is None else Path(runs))
    failures = carry_out(planned, WORKER, processes=jobs, say=say)
    if len(failures) == len(planned):
        return Ablation(summary=None, files={}, failures=failures)
    summary, files = save_report(out)
    return Ablation(summary=summary, files=files, failures=failures)
