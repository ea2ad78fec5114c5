"""MuJoCo environments of many tasks, stepped in one call per control step."""

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from metarl_gan.envs.mujoco_api import (
    MjData,
    MjModel,
    Rollout,
    mj_setConst,
    mj_stateSize,
    mjtState,
)
from metarl_gan.envs.mujoco_rules import MujocoRules, MujocoState
from metarl_gan.envs.task import Task
from metarl_gan.envs.vector import TaskVectorEnv

_STATE = mjtState.mjSTATE_FULLPHYSICS.value
_CONTROL = mjtState.mjSTATE_CTRL.value
_MAX_THREADS = 8


@dataclass(frozen=True, kw_only=True)
class MujocoSetup:
    """What all vector environments of a MuJoCo family have in common.

    `frame_skip` is the number of physics steps per control step. `threads` step the
    environments; `None` takes as many as there are processors, 8 at most.
    """

    model: MjModel
    rules: MujocoRules
    observation_space: gymnasium.Space
    action_space: gymnasium.Space
    horizon: int
    frame_skip: int
    threads: int | None = None


class MujocoVectorEnv(TaskVectorEnv):
    """All environments in one call of `mujoco.rollout` on a persistent thread pool.

    The physical state lives in one float64 array `[num_envs, state]` (time, positions,
    velocities, activations). The constraint solver is warm-started from the acceleration over
    the last physics step. MuJoCo itself starts from the solver's own last result, which differs
    by the damping's implicit part and is not handed out by `mujoco.rollout`: a control step
    agrees with Gymnasium's to about 1e-13, while free-running trajectories drift apart as fast
    as contacts amplify a rounding error.
    """

    def __init__(self, setup: MujocoSetup, tasks: Sequence[Task], envs_per_task: int) -> None:
        super().__init__(
            tasks=tasks,
            envs_per_task=envs_per_task,
            observation_space=setup.observation_space,
            action_space=setup.action_space,
            horizon=setup.horizon,
        )
        self._setup = setup
        model = setup.model
        threads = min(self._threads(), self.num_envs)
        # Without a pool, the calling thread steps: for one thread that is the faster way.
        self._rollout = Rollout(nthread=threads if threads > 1 else 0)
        self._data = [MjData(model) for _ in range(threads)]
        self._states = np.zeros((self.num_envs, mj_stateSize(model, _STATE)))
        self._warmstarts = np.zeros((self.num_envs, model.nv))
        self._models: list[MjModel] = []
        self._parameters: dict[str, np.ndarray] = {}
        self._retask()

    def _threads(self) -> int:
        return self._setup.threads or min(os.cpu_count() or 1, _MAX_THREADS)

    def _retask(self) -> None:
        numeric = [
            name for name, value in self.tasks[0].parameters.items() if not isinstance(value, str)
        ]
        self._parameters = {name: self.parameter(name) for name in numeric}
        per_task = [self._model_of(task) for task in self.tasks]
        self._models = [model for model in per_task for _ in range(self.envs_per_task)]

    def _model_of(self, task: Task) -> MjModel:
        own = copy.copy(self._setup.model)
        if not self._setup.rules.configure(own, task.parameters):
            return self._setup.model
        # Inertias and the solver's scales follow from what was written.
        mj_setConst(own, MjData(own))
        return own

    def _start(self, rows: np.ndarray, seed: int | None) -> tuple[np.ndarray, dict[str, Any]]:
        model = self._setup.model
        states = np.zeros((len(rows), self._states.shape[1]))
        default = self._view(states)
        default.positions[:] = model.qpos0
        positions, velocities = self._setup.rules.start(
            self.np_random, default.positions, default.velocities
        )
        default.positions[:] = positions
        default.velocities[:] = velocities
        self._states[rows] = states
        self._warmstarts[rows] = 0.0
        return self._setup.rules.observe(self._view(states)), {}

    def _advance(
        self, actions: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        rules = self._setup.rules
        before = self._view(self._states[rows])
        path = self._simulate(actions, rows)
        self._states[rows] = path[:, -1]
        after = self._view(path[:, -1])
        parameters = {name: values[rows] for name, values in self._parameters.items()}
        rewards = rules.reward(before, after, actions.astype(np.float64), parameters)
        terminated = rules.terminated(after)
        return rules.observe(after), rewards, terminated, np.zeros(len(rows), bool), {}

    def _simulate(self, actions: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The states after each physics step of one control step, `[rows, frame_skip, state]`."""
        model, n, n_steps = self._setup.model, len(rows), self._setup.frame_skip
        path = np.empty((n, n_steps, self._states.shape[1]))
        control = np.empty((n, n_steps, model.nu))
        control[:] = actions[:, None]
        start = self._states[rows]
        self._rollout.rollout(
            [self._models[row] for row in rows],
            self._data,
            start,
            control,
            control_spec=_CONTROL,
            skip_checks=True,
            nstep=n_steps,
            initial_warmstart=self._warmstarts[rows],
            state=path,
            sensordata=np.empty((n, n_steps, model.nsensordata)),
        )
        last = self._view(path[:, -2] if n_steps > 1 else start).velocities
        change = self._view(path[:, -1]).velocities - last
        self._warmstarts[rows] = change / model.opt.timestep
        return path

    def _view(self, states: np.ndarray) -> MujocoState:
        model = self._setup.model
        return MujocoState(
            positions=states[:, 1 : 1 + model.nq],
            velocities=states[:, 1 + model.nq : 1 + model.nq + model.nv],
            time_step=model.opt.timestep * self._setup.frame_skip,
        )

    def close_extras(self, **kwargs: Any) -> None:  # noqa: ANN401 - Gymnasium's signature
        """Stop the threads."""
        self._rollout.close()
