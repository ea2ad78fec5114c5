"""The role of a log: takes the metrics of every meta-iteration."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence


class MetricLog(ABC):
    """Where a training run's metrics go."""

    @abstractmethod
    def log(self, meta_iteration: int, metrics: Mapping[str, float]) -> None:
        """Take the metrics of one meta-iteration, numbered from 1, in increasing order."""

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

    def close(self) -> None:
        for log in self._logs:
            log.close()
