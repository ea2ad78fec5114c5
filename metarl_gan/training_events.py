"""The role of whoever follows a training run while it goes on."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run is: everything that was spent so far, and what the last iteration measured."""

    meta_iterations: int
    real_steps: int
    metrics: Mapping[str, float] = field(default_factory=dict)


class TrainingEvents(ABC):
    """Is told of a run's course, between meta-iterations; it must change nothing of the agent."""

    @abstractmethod
    def on_start(self, progress: Progress) -> None:
        """Training begins, or goes on from a checkpoint."""

    @abstractmethod
    def on_iteration_start(self) -> None:
        """A meta-iteration begins."""

    @abstractmethod
    def on_iteration_end(self, progress: Progress) -> dict[str, float]:
        """A meta-iteration is done, and validation if it was due. Gives more metrics to log."""

    @property
    @abstractmethod
    def wants_to_stop(self) -> bool:
        """Whether training is to end now, with a checkpoint."""

    @abstractmethod
    def on_end(self) -> None:
        """Training has ended, and its checkpoint is written."""


@final
class NoEvents(TrainingEvents):
    """Nobody follows."""

    def on_start(self, progress: Progress) -> None: ...

    def on_iteration_start(self) -> None: ...

    def on_iteration_end(self, progress: Progress) -> dict[str, float]:
        return {}

    @property
    def wants_to_stop(self) -> bool:
        return False

    def on_end(self) -> None: ...
