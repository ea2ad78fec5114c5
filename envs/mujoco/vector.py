"""MuJoCo environments of many tasks, stepped together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from metarl_gan.envs.mujoco.api import MjModel
from metarl_gan.envs.mujoco.model import model_of_task
from metarl_gan.envs.mujoco.rules import MujocoRules, MujocoState
from metarl_gan.envs.mujoco.slots import STATE, MujocoStepper
from metarl_gan.envs.stepping.vector import TaskVectorEnv
from metarl_gan.envs.task import Task


@dataclass(frozen=True, kw_only=True)
class MujocoSetup:
    """What all vector environments of a MuJoCo family have in common.

    `frame_skip` is the number of physics steps per control step. `threads` step the
    environments; `None` takes as many as there are processors.
    """

    model: MjModel
    rules: MujocoRules
    observation_space: gymnasium.Space
    action_space: gymnasium.Space
    horizon: int
    frame_skip: int
    threads: int | None = None

    @property
    def time_step(self) -> float:
        """The duration of a control step in seconds."""
        return self.model.opt.timestep * self.frame_skip


class MujocoVectorEnv(TaskVectorEnv):
    """States, rewards and observations as arrays over all environments; physics in threads.

    Every episode is bit for bit the one that Gymnasium's environment plays from the same seed
    and actions.
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
        self._stepper = MujocoStepper(
            setup.model,
            n_rows=self.num_envs,
            fields=setup.rules.fields,
            frame_skip=setup.frame_skip,
            threads=setup.threads,
        )
        self._models: list[MjModel] = []
        self._parameters: dict[str, np.ndarray] = {}
        self._retask()
        states = self._default_states(self.num_envs)
        self._arrays = self._stepper.forward(self._models, states)

    def _retask(self) -> None:
        numeric = [
            name for name, value in self.tasks[0].parameters.items() if not isinstance(value, str)
        ]
        self._parameters = {name: self.parameter(name) for name in numeric}
        setup = self._setup
        per_task = [model_of_task(setup.model, setup.rules, task.parameters) for task in self.tasks]
        self._models = [model for model in per_task for _ in range(self.envs_per_task)]

    def _default_states(self, n: int) -> dict[str, np.ndarray]:
        model = self._setup.model
        sizes = {"qvel": model.nv, "act": model.na, "qacc_warmstart": model.nv}
        zeros = {name: np.zeros((n, size)) for name, size in sizes.items()}
        return {"qpos": np.tile(model.qpos0, (n, 1)), **zeros}

    def _start(self, rows: np.ndarray, seed: int | None) -> tuple[np.ndarray, dict[str, Any]]:
        model, states = self._setup.model, self._default_states(len(rows))
        for place, generator in enumerate(self._row_generators(rows)):
            noise = self._setup.rules.start_noise(generator, model.nq, model.nv)
            states["qpos"][place] += noise[0]
            states["qvel"][place] += noise[1]
        found = self._stepper.forward([self._models[row] for row in rows], states)
        self._keep(rows, found)
        return self._setup.rules.observe(self._state(found)), {}

    def _advance(
        self, actions: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        rules = self._setup.rules
        before = {name: values[rows] for name, values in self._arrays.items()}
        models = [self._models[row] for row in rows]
        controls = actions.astype(np.float64)
        given = {name: before[name] for name in STATE}
        found = self._stepper.step(models, given, controls)
        self._keep(rows, found)
        parameters = {name: values[rows] for name, values in self._parameters.items()}
        after = self._state(found)
        rewards = rules.reward(self._state(before), after, controls, parameters)
        ended = rules.terminated(after)
        return rules.observe(after), rewards, ended, np.zeros(len(rows), bool), {}

    def _keep(self, rows: np.ndarray, found: Mapping[str, np.ndarray]) -> None:
        for name, values in found.items():
            self._arrays[name][rows] = values

    def _state(self, arrays: Mapping[str, np.ndarray]) -> MujocoState:
        return MujocoState(arrays=arrays, time_step=self._setup.time_step)

    def close_extras(self, **kwargs: Any) -> None:  # noqa: ANN401 - Gymnasium's signature
        """Stop the threads."""
        self._stepper.close()
