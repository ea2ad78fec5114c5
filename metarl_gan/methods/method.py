"""The Method role: something that learns on a task family within a budget of real steps.

A method owes three things to a fair comparison: it never takes more real steps than it was given,
it chooses nothing on test tasks, and it counts every step (`TrainedMethod`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metarl_gan.envs.family import TaskFamily
    from metarl_gan.envs.task import Task
    from metarl_gan.evaluator import AdaptationCurve


@dataclass(frozen=True, kw_only=True)
class LearningPoint:
    """What training had come to when so many real steps had been spent.

    Args:
        real_steps: of training, so far; validation's not included.
        seconds: of training by the clock, so far; validation's not included.
        validation_return: mean return per episode on validation tasks, which are of the train
            split and which nothing is learnt from, after the method's adaptation.
    """

    real_steps: int
    seconds: float
    validation_return: float


class TrainedMethod(ABC):
    """What a method has learnt on a family."""

    @property
    @abstractmethod
    def real_steps(self) -> int:
        """Every environment step that training took, wherever it was spent; at most the budget."""

    @property
    @abstractmethod
    def validation_real_steps(self) -> int:
        """Environment steps that scoring on validation tasks took; counted apart."""

    @property
    @abstractmethod
    def training_seconds(self) -> float:
        """By the clock, of all parts of a run that was interrupted; without validation."""

    @property
    @abstractmethod
    def learning_curve(self) -> Sequence[LearningPoint]:
        """By increasing real steps; empty where nothing is learnt before the new task."""

    @abstractmethod
    def adaptation_curve(
        self, tasks: "Sequence[Task]", episodes: int, *, seed: int, scored_episodes: int
    ) -> "AdaptationCurve":
        """Returns of each task after 0, 1, … `episodes` real episodes in it.

        Deterministic: the same arguments give the same returns. Changes nothing of what was
        learnt, so that the order of calls does not matter.

        Args:
            tasks: held-out ones; they are distinct environments even where ids repeat.
            episodes: real episodes of adaptation per task at most, 0 or more.
            seed: of everything that is random in adaptation and scoring.
            scored_episodes: episodes that each return is the mean of; not adapted on.

        Returns:
            `returns [tasks, episodes + 1]`, the tasks that broke left out and listed as dropped;
            `real_steps`: every step of adaptation and scoring.

        Raises:
            AllTasksDroppedError: when no task stayed healthy.
        """


class Method(ABC):
    """Something that learns on a task family within a budget of real steps, and then adapts.

    Implementations are listed in `metarl_gan.methods.registry`; one that has settings keeps them
    in a frozen dataclass and reads a user's with `metarl_gan.config_io.override`.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """As in the registry and in every table."""

    @abstractmethod
    def settings(self, family: "TaskFamily") -> Mapping[str, object]:
        """Every setting by name as it would be on this family, but for seed and budget.

        Plain values (JSON can hold them). Two methods of equal settings learn the same, so that
        a result is never taken for one of other settings.

        Raises `ConfigError` for settings that contradict each other.
        """

    @abstractmethod
    def objection(self, family: "TaskFamily") -> str | None:
        """Why this method cannot serve the family ("SAC needs continuous actions"), or `None`."""

    def least_real_steps(self, family: "TaskFamily") -> int:
        """The smallest budget that training can do anything with."""
        return 1

    @abstractmethod
    def train(
        self, family: "TaskFamily", *, seed: int, max_real_steps: int, folder: Path
    ) -> TrainedMethod:
        """Learn on tasks of the train split.

        Goes on from a checkpoint in `folder`, if there is one; trained to the end already, it is
        only loaded.

        Args:
            family: one without an objection.
            seed: of everything that is random; same seed, same machine, same result.
            max_real_steps: most environment steps that training may take.
            folder: the method's own, made if missing; nobody else writes there.

        Raises:
            ValueError: when the budget is below `least_real_steps`.
            KeyboardInterrupt: after Ctrl-C or SIGTERM, with a checkpoint if it writes any.
        """
