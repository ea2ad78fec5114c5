"""What a person watching a training run sees."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from metarl_gan.metric_log import MetricLog

if TYPE_CHECKING:
    from metarl_gan.agents.collector import DroppedTask

LINE_SECONDS = 5.0
"""Seconds between lines where nothing can be redrawn (a pipe, a file)."""

DROPPED_LINES = 3
"""Most dropped tasks of a meta-iteration, or of a report, that get a line."""

ROLLBACK = (
    "training of the generator diverged and was taken back to its last good average; if that "
    "repeats, lower adversarial.learning_rate or adversarial.adversarial_weight"
)

LABELS = {
    "real_steps": "real steps",
    "real_steps_per_second": "real steps/s",
    "return_before_adaptation": "return before adaptation",
    "return_after_adaptation": "return after adaptation",
    "validation_return": "validation return",
    "generator_loss": "generator loss",
    "discriminator_loss": "discriminator loss",
    "state_loss": "state loss",
    "reward_loss": "reward loss",
    "held_out_reward_error": "held-out reward error",
    "held_out_next_state_error": "held-out state error",
    "generated_share": "generated",
    "dropped_tasks": "dropped tasks",
    "gan_rollbacks": "generator taken back",
}
"""Metrics worth watching, in this order, under the name that is shown."""

TROUBLES = ("dropped_tasks", "gan_rollbacks")
"""Counts that are shown once there is something to count."""


class ProgressLog(MetricLog):
    """Progress on the terminal: a live table, or a line every few seconds when piped.

    Args:
        iterations: meta-iterations in all.
        max_real_steps: the other budget, if there is one.
        first_iteration: meta-iterations that were done before (a resumed run).
        first_real_steps: real steps that were done before.
        console: where to write; standard error by default, so that tables can be piped.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        *,
        iterations: int,
        max_real_steps: int | None = None,
        first_iteration: int = 0,
        first_real_steps: int = 0,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._iterations = iterations
        self._max_real_steps = max_real_steps
        self._first = (first_iteration, first_real_steps)
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._started = clock()
        self._shown_at = float("-inf")
        self._last: tuple[int, dict[str, float]] | None = None
        self._pending = False
        self._live: Live | None = None

    def log(self, meta_iteration: int, metrics: Mapping[str, float]) -> None:
        # What is measured only now and then (validation) stays on show until measured again.
        earlier = self._last[1] if self._last else {}
        if metrics.get("gan_rollbacks", 0.0) > earlier.get("gan_rollbacks", 0.0):
            self._console.print(Text(f"[{meta_iteration}] {ROLLBACK}", style="yellow"))
        self._last = (meta_iteration, {**earlier, **metrics})
        self._pending = True
        if self._console.is_terminal:
            self._redraw()
        elif self._clock() - self._shown_at >= LINE_SECONDS:
            self._print_line()

    def drop(self, meta_iteration: int, dropped: "Sequence[DroppedTask]") -> None:
        reasons = [(task.task_id, task.reason) for task in dropped]
        for line in dropped_lines(reasons, "failures.log"):
            self._console.print(Text(f"[{meta_iteration}] {line}", style="yellow"), soft_wrap=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        elif self._pending:
            self._print_line()

    def seconds_left(self) -> float | None:
        """Estimated seconds until the first budget is spent; None before anything is known."""
        if self._last is None:
            return None
        iteration, metrics = self._last
        done = [_share(iteration, self._first[0], self._iterations)]
        if self._max_real_steps is not None:
            real_steps = metrics.get("real_steps", 0.0)
            done.append(_share(real_steps, self._first[1], self._max_real_steps))
        share = min(1.0, max(done))
        elapsed = self._clock() - self._started
        return elapsed * (1.0 - share) / share if share > 0.0 else None

    def _redraw(self) -> None:
        if self._live is None:
            self._live = Live(console=self._console, refresh_per_second=8, transient=False)
            self._live.start()
        self._live.update(self._table())
        self._pending = False

    def _print_line(self) -> None:
        if self._last is None:
            return
        iteration, metrics = self._last
        values = [
            f"{label} {_shown(name, metrics[name])}"
            for name, label in LABELS.items()
            if name in metrics and _worth_showing(name, metrics[name])
        ]
        line = "  ".join(
            [
                f"[{iteration}/{self._iterations}]",
                *values,
                f"left {_duration(self.seconds_left())}",
            ]
        )
        self._console.print(Text(line), soft_wrap=True)
        self._shown_at = self._clock()
        self._pending = False

    def _table(self) -> Table:
        iteration, metrics = self._last or (0, {})
        table = Table.grid(padding=(0, 2))
        table.add_row(
            f"meta-iteration {iteration}/{self._iterations}",
            ProgressBar(total=max(1, self._iterations), completed=iteration, width=32),
        )
        for name, label in LABELS.items():
            if name in metrics and _worth_showing(name, metrics[name]):
                table.add_row(label, _shown(name, metrics[name]))
        table.add_row("time left", _duration(self.seconds_left()))
        return table


def dropped_lines(dropped: Sequence[tuple[str, str]], more_in: str) -> list[str]:
    """A line for each of the first dropped tasks, and where the others are.

    Args:
        dropped: task ids, and what was seen of them.
        more_in: the file that has all of it.
    """
    lines = []
    for task_id, reason in dropped[:DROPPED_LINES]:
        summary = reason.partition("\n")[0]
        lines.append(f"dropped task {task_id}: {summary}")
    if len(dropped) > DROPPED_LINES:
        lines.append(f"and {len(dropped) - DROPPED_LINES} more: see {more_in}")
    return lines


def _share(now: float, first: float, total: float) -> float:
    return (now - first) / (total - first) if total > first else 1.0


def _worth_showing(name: str, value: float) -> bool:
    return name not in TROUBLES or value > 0


def _shown(name: str, value: float) -> str:
    if name == "generated_share":
        return f"{value:.0%}"
    if name in {"real_steps", "real_steps_per_second", *TROUBLES}:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) < 10 else f"{value:.1f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
