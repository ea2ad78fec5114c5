"""The role of whoever holds a vector environment's environments, wherever they live."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from metarl_gan.envs.task import Task

Failures = dict[int, str]
"""By row, what broke there: see `describe_failure`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What a step of n rows led to.

    Attributes:
        observations: Float32 `[n, obs]`.
        rewards: Float32 `[n]`.
        terminated: Bool `[n]`.
        truncated: Bool `[n]`, by the environments' own account.
        success: Int8 `[n]`, whether the environment said that its task is solved: 1 or 0, or
            -1 where it said nothing.
    """

    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    success: np.ndarray

    @classmethod
    def empty(cls, n: int, observation_shape: tuple[int, ...]) -> "Outcome":
        """An outcome of `n` rows that is still to be written."""
        return cls(
            observations=np.empty((n, *observation_shape), np.float32),
            rewards=np.empty(n, np.float32),
            terminated=np.empty(n, bool),
            truncated=np.empty(n, bool),
            success=np.empty(n, np.int8),
        )

    def break_down(self, where: int | np.ndarray) -> None:
        """Write what broken environments give at a place, or where a mask is set."""
        self.observations[where] = np.nan
        self.rewards[where] = 0.0
        self.terminated[where] = False
        self.truncated[where] = True
        self.success[where] = -1

    def fill(self, where: np.ndarray, other: "Outcome") -> None:
        """Put `other`'s rows at the places where the mask `where` is set."""
        self.observations[where] = other.observations
        self.rewards[where] = other.rewards
        self.terminated[where] = other.terminated
        self.truncated[where] = other.truncated
        self.success[where] = other.success


class EnvironmentRows(ABC):
    """Environments by row number: makes them, resets them, steps them.

    An environment that breaks leaves the others alone: each call returns what broke in it, and
    `start` makes a broken one anew.
    """

    @property
    @abstractmethod
    def backend(self) -> str:
        """Where they live: "sync" in this process, "async" in others."""

    @abstractmethod
    def assign(self, tasks: Mapping[int, Task]) -> Failures:
        """Have each row hold an environment of its task. `start` has to follow."""

    @abstractmethod
    def start(self, seeds: Mapping[int, int | None]) -> tuple[np.ndarray, Failures]:
        """Begin episodes in these rows: observations float32 `[n, obs]`, NaN where broken."""

    @abstractmethod
    def advance(self, rows: np.ndarray, actions: np.ndarray) -> tuple[Outcome, Failures]:
        """Step these rows, whose episodes go on, with their actions `[n, …]`."""

    @abstractmethod
    def close(self) -> None:
        """Close every environment."""


def told_success(info: Mapping[str, Any]) -> int:
    """What a step's info says of success, as in `Outcome`: under "success" or "is_success"."""
    told = info.get("success", info.get("is_success"))
    known = isinstance(told, bool | int | float | np.bool_ | np.number)
    return int(bool(told)) if known else -1


def describe_failure(what: str, task: Task, row: int, cause: str, details: str = "") -> str:
    """The text of a failure; its first line says all that fits in one.

    Args:
        what: What the environment was doing: "make", "reset", "step", …
        task: Its task.
        row: Its number in the vector environment.
        cause: In one line, such as the exception.
        details: Where it happened, in many lines.
    """
    return f"{what} of task {task.id!r}, environment {row}: {cause}\n{details}".rstrip()
