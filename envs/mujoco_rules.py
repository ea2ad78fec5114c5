"""What a MuJoCo family adds to the physics: observation, reward, end and start of an episode."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metarl_gan.envs.mujoco_api import MjModel
from metarl_gan.envs.task import ParameterValue


@dataclass(frozen=True, kw_only=True)
class MujocoState:
    """Positions `[n, nq]` and velocities `[n, nv]` of `n` environments, in MuJoCo's order.

    `time_step` is the duration of a control step, in seconds.
    """

    positions: np.ndarray
    velocities: np.ndarray
    time_step: float


class MujocoRules(ABC):
    """The rules of one MuJoCo family, for many environments at once.

    Every array has a leading environment axis; `parameters` holds one array `[n]` per declared
    parameter. A new family implements these five methods and passes them to `MujocoFamily`.
    """

    @abstractmethod
    def start(
        self, rng: np.random.Generator, positions: np.ndarray, velocities: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions `[n, nq]` and velocities `[n, nv]` to begin with.

        The arguments hold the model's default pose, one row per environment.
        """

    @abstractmethod
    def observe(self, state: MujocoState) -> np.ndarray:
        """Observations `[n, obs]`."""

    @abstractmethod
    def reward(
        self,
        before: MujocoState,
        after: MujocoState,
        actions: np.ndarray,
        parameters: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        """Rewards `[n]` of the control step from `before` to `after` under clipped `actions`."""

    @abstractmethod
    def terminated(self, after: MujocoState) -> np.ndarray:
        """Bool `[n]`: whose episode the state reached ends."""

    @abstractmethod
    def configure(self, model: MjModel, parameters: Mapping[str, ParameterValue]) -> bool:
        """Write one task's physics into a fresh copy of the model, in place.

        Returns whether anything was written: families whose tasks differ by reward alone return
        False and share one model.
        """
