"""What a MuJoCo family adds to Gymnasium's environment: reward, physics of a task, batching."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from metarl_gan.envs.mujoco.api import MjModel
from metarl_gan.envs.task import ParameterValue


@dataclass(frozen=True, kw_only=True)
class MujocoState:
    """`n` environments between two control steps: `state["qpos"]` is `[n, nq]`.

    The names are those of `MjData`; what is there besides `qpos` and `qvel` is what the rules'
    `fields` ask for. As in Gymnasium, derived fields such as `xpos` are those of the last physics
    step's beginning. `time_step` is the duration of a control step, in seconds.
    """

    arrays: Mapping[str, np.ndarray]
    time_step: float

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]


class MujocoRules(ABC):
    """One MuJoCo family on top of one of Gymnasium's environments.

    A single environment is Gymnasium's own, but for the reward and the task's physics. Many at
    once are stepped by MuJoCo alone, so that the rules say as array operations what Gymnasium's
    code says of one: `tests/envs/test_mujoco.py` compares the two over whole episodes. Every
    array has a leading environment axis; `parameters` holds one array `[n]` per declared
    parameter.

    Attributes:
        env_id: Gymnasium's environment.
        env_options: What it is made with, e.g. `{"terminate_when_unhealthy": False}`.
        fields: Further arrays of `MjData` that the methods below read, e.g. `("xpos",)`.
    """

    env_id: str
    env_options: Mapping[str, Any] = {}
    fields: tuple[str, ...] = ()

    @abstractmethod
    def start_noise(
        self, rng: np.random.Generator, nq: int, nv: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """What one environment adds to the model's pose `[nq]` and velocity `[nv]` at first.

        Draws in the order in which Gymnasium's `reset_model` does.
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

    def configure(self, model: MjModel, parameters: Mapping[str, ParameterValue]) -> bool:
        """Write one task's physics into a model as Gymnasium has it, in place.

        Returns whether anything was written: families whose tasks differ by reward alone, as by
        default, return False and share one model.
        """
        return False
