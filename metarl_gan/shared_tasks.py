"""Returns of the tasks that several evaluations share."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from metarl_gan.adaptation_report import AdaptationReport, paired_rows
from metarl_gan.report_files import ReportError
from metarl_gan.statistics import FloatArray

K = TypeVar("K")


def returns_on_shared_tasks(reports: Mapping[K, AdaptationReport]) -> dict[K, FloatArray]:
    """Returns `[tasks, episodes + 1]` of the tasks that all reports hold, in the first's order.

    A task that any evaluation dropped is left out of all.

    Raises:
        ReportError: when they were not evaluated on the same tasks, or none is left.
    """
    first, *_ = reports.values()
    pairs = {
        key: dict(zip(*paired_rows(first, report), strict=True)) for key, report in reports.items()
    }
    rows = sorted(set.intersection(*(set(pair) for pair in pairs.values())))
    episodes = {report.episodes for report in reports.values()}
    if not rows or len(episodes) > 1:
        raise ReportError(
            f"the results share {len(rows)} tasks and have {sorted(episodes)} real episodes; "
            "evaluate all in one way"
        )
    return {
        key: np.asarray(report.returns[[pairs[key][row] for row in rows]])
        for key, report in reports.items()
    }
