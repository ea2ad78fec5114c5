"""The held-out tasks that all jobs of one command are evaluated on."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from metarl_gan.config_error import require
from metarl_gan.envs.family import TaskFamily


@dataclass(frozen=True, kw_only=True)
class HeldOutTasks(ABC):
    """Which tasks, and how many real episodes of each an agent adapts on.

    Args:
        split: of the family.
        tasks: how many.
        episodes: real episodes per task: returns are measured after 0 to this many.
        seed: of tasks and rollouts; the same for all.
    """

    split: str = "test"
    tasks: int = 40
    episodes: int = 1
    seed: int = 0

    @abstractmethod
    def __post_init__(self) -> None:
        require(self.tasks >= 1, "tasks", self.tasks, "at least 1")

    def require_of(self, family: TaskFamily) -> None:
        """Raise `ConfigError` if the family has no such split."""
        allowed = f"one of {', '.join(family.splits)} (family {family.name})"
        require(self.split in family.splits, "split", self.split, allowed)

    def words(self) -> list[str]:
        """Options of a command that say the same."""
        words = ["--split", self.split, "--tasks", str(self.tasks)]
        return [*words, "--episodes", str(self.episodes), "--evaluation-seed", str(self.seed)]
