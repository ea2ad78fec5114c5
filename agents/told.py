"""What a policy is told beside its observation: nothing, its last step, or which task it is in."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl_gan.envs.task import Task


class Told(ABC):
    """Float32 `values [envs, size]` that are appended to observations.

    A trial is one or more episodes of one task; `begin` is called where one starts, `note` after
    each step.
    """

    values: np.ndarray

    @abstractmethod
    def begin(self, tasks: Sequence[Task], rows: np.ndarray) -> None:
        """A trial of `tasks [envs]` begins in the environments of the mask `rows`."""

    @abstractmethod
    def note(
        self, actions: np.ndarray, rewards: np.ndarray, ended: np.ndarray, rows: np.ndarray
    ) -> None:
        """A step in the environments of the mask `rows`: `ended` says whose episode it ended."""

    def beside(self, observations: np.ndarray) -> np.ndarray:
        """Observations with the values appended, `[envs, obs + size]`."""
        return np.concatenate([observations, self.values], axis=-1, dtype=np.float32)


class Nothing(Told):
    """The observation has to do."""

    def __init__(self, n_envs: int) -> None:
        self.values = np.zeros((n_envs, 0), np.float32)

    def begin(self, tasks: Sequence[Task], rows: np.ndarray) -> None:
        pass

    def note(
        self, actions: np.ndarray, rewards: np.ndarray, ended: np.ndarray, rows: np.ndarray
    ) -> None:
        pass


class LastStep(Told):
    """Last action (one-hot if discrete), last reward, and whether it ended an episode.

    All zeros at the start of a trial (RL², Duan et al. 2016, arXiv:1611.02779, section 2.2).
    """

    def __init__(self, n_envs: int, action_space: gymnasium.Space) -> None:
        self._discrete = isinstance(action_space, spaces.Discrete)
        if isinstance(action_space, spaces.Discrete):
            self._start, n_actions = int(action_space.start), int(action_space.n)
        else:
            self._start, n_actions = 0, int((action_space.shape or (0,))[0])
        self.values = np.zeros((n_envs, n_actions + 2), np.float32)

    def begin(self, tasks: Sequence[Task], rows: np.ndarray) -> None:
        self.values[rows] = 0.0

    def note(
        self, actions: np.ndarray, rewards: np.ndarray, ended: np.ndarray, rows: np.ndarray
    ) -> None:
        if self._discrete:
            taken = np.eye(self.values.shape[1] - 2, dtype=np.float32)[actions - self._start]
        else:
            taken = actions
        told = np.column_stack([taken, rewards, ended]).astype(np.float32)
        self.values[rows] = told[rows]


class Descriptor(Told):
    """The task's true descriptor, throughout."""

    def __init__(self, n_envs: int, size: int) -> None:
        self.values = np.zeros((n_envs, size), np.float32)

    def begin(self, tasks: Sequence[Task], rows: np.ndarray) -> None:
        for row in np.flatnonzero(rows).tolist():
            self.values[row] = tasks[row].descriptor

    def note(
        self, actions: np.ndarray, rewards: np.ndarray, ended: np.ndarray, rows: np.ndarray
    ) -> None:
        pass
