"""A run's metrics on disk: `metrics.jsonl`, `progress.csv` and TensorBoard scalars.

Beside them `failures.log`: what was seen of every task that was dropped, tracebacks included.
"""

import csv
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metarl_gan.metric_log import MetricLog
from metarl_gan.report_files import write_bytes, write_csv

if TYPE_CHECKING:
    from metarl_gan.agents.collector import DroppedTask

METRICS_FILE = "metrics.jsonl"
CSV_FILE = "progress.csv"
TENSORBOARD_FOLDER = "tensorboard"
FAILURES_FILE = "failures.log"
ITERATION = "meta_iteration"

Row = dict[str, Any]


class RunLog(MetricLog):
    """Writes metrics into a run folder and continues what a resumed run left there.

    Rows of meta-iterations after `last_iteration` were written by a run that died before its
    next checkpoint; they are removed, as are rows that were cut off while being written.

    Args:
        folder: the run folder, made if missing.
        last_iteration: the meta-iteration the run continues after; 0 starts the files anew.
        tensorboard: whether to write TensorBoard scalars as well.

    Raises:
        OSError: when the folder cannot be written to.
    """

    def __init__(
        self, folder: str | Path, *, last_iteration: int = 0, tensorboard: bool = True
    ) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        rows = [row for row in read_metrics(self._folder) if row[ITERATION] <= last_iteration]
        write_bytes(self._folder / METRICS_FILE, "".join(map(_as_line, rows)).encode())
        self._columns = _columns(rows)
        self._write_whole_csv(rows)
        self._scalars: _Scalars = _NoScalars()
        if tensorboard:
            self._scalars = _TensorBoard(self._folder / TENSORBOARD_FOLDER, last_iteration)

    def log(self, meta_iteration: int, metrics: Mapping[str, float]) -> None:
        finite = {name: _finite(value) for name, value in metrics.items()}
        row: Row = {ITERATION: meta_iteration, **finite}
        with (self._folder / METRICS_FILE).open("a", encoding="utf-8") as file:
            file.write(_as_line(row))
        new = [name for name in row if name not in self._columns]
        if new:
            # A table has one header: metrics that come later (validation) widen it.
            self._columns += new
            self._write_whole_csv(read_metrics(self._folder))
        else:
            with (self._folder / CSV_FILE).open("a", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerow(self._cells(row))
        self._scalars.add(meta_iteration, metrics)

    def drop(self, meta_iteration: int, dropped: "Sequence[DroppedTask]") -> None:
        if dropped:
            # It tells what happened: a resumed run removes nothing from it.
            with (self._folder / FAILURES_FILE).open("a", encoding="utf-8") as file:
                for task in dropped:
                    what = f"meta-iteration {meta_iteration}, task {task.task_id}: {task.reason}"
                    file.write(what.strip().replace("\n", "\n    ") + "\n\n")

    def close(self) -> None:
        self._scalars.close()

    def _write_whole_csv(self, rows: list[Row]) -> None:
        write_csv(self._folder / CSV_FILE, self._columns, [self._cells(row) for row in rows])

    def _cells(self, row: Row) -> list[object]:
        return [row.get(name) for name in self._columns]


def read_metrics(folder: str | Path) -> list[Row]:
    """The rows of a run's `metrics.jsonl`, one per meta-iteration; empty if there are none.

    A last line that was cut off is left out.
    """
    path = Path(folder) / METRICS_FILE
    if not path.is_file():
        return []
    rows: list[Row] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        if not isinstance(row, dict) or not isinstance(row.get(ITERATION), int):
            break
        rows.append(row)
    return rows


class _Scalars(ABC):
    @abstractmethod
    def add(self, meta_iteration: int, metrics: Mapping[str, float]) -> None: ...

    @abstractmethod
    def close(self) -> None: ...


class _NoScalars(_Scalars):
    def add(self, meta_iteration: int, metrics: Mapping[str, float]) -> None:
        pass

    def close(self) -> None:
        pass


class _TensorBoard(_Scalars):
    def __init__(self, folder: Path, last_iteration: int) -> None:
        # TensorBoard takes a second to import, and not every run writes it.
        from torch.utils.tensorboard import SummaryWriter

        # What a dead run wrote after the checkpoint is hidden by TensorBoard itself.
        self._writer = SummaryWriter(str(folder), purge_step=last_iteration + 1)

    def add(self, meta_iteration: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, meta_iteration)

    def close(self) -> None:
        self._writer.close()


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _as_line(row: Row) -> str:
    return json.dumps(row, allow_nan=False) + "\n"


def _columns(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys([ITERATION, *(name for row in rows for name in row)]))
