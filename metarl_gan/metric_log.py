"""The role of a log: takes the metrics of every meta-iteration, and what went wrong in it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metarl_gan.agents.collector import DroppedTask


class MetricLog(ABC):
    """Where a training run's metrics go."""

    @abstractmethod
    def log(self, meta_iteration: int, metrics: Mapping[str, float]) -> None:
        """Take the metrics of one meta-iteration, numbered from 1, in increasing order."""

    @abstractmethod
    def drop(self, meta_iteration: int, dropped: "Sequence[DroppedTask]") -> None:
        """Take the tasks, perhaps none, whose environments broke in a meta-iteration."""

    @abstractmethod
    def close(self) -> None:
        """Write what is still in memory. Nothing may be logged afterwards."""


class FanOutLog(MetricLog):
    """Several logs as one; with none, a log that keeps nothing."""

    def __init__(self, logs: Sequence[MetricLog] = ()) -> None:
        self._logs = tuple(logs)

    def log(self, meta_iteration: int, metrics: Mapping[str, float]) -> None:
        for log in self._logs:
            log.log(meta_iteration, metrics)

    def drop(self, meta_iteration: int, dropped: "Sequence[DroppedTask]") -> None:
        for log in self._logs:
            log.drop(meta_iteration, dropped)

    def close(self) -> None:
        for log in self._logs:
            log.close()
