"""Callbacks of Stable-Baselines3 that follow meta-training."""

from collections.abc import Callable, Sequence
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ConvertCallback
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from metarl_gan.agent import MetaAgent
from metarl_gan.agents.adapted_policy import AdaptedPolicy
from metarl_gan.agents.sb3 import SpacesOnly
from metarl_gan.components import Components
from metarl_gan.config_error import ConfigError
from metarl_gan.training_events import Progress, TrainingEvents

Callback = BaseCallback | Callable[[dict[str, Any], dict[str, Any]], bool]
"""One of Stable-Baselines3's, or a function of local and global variables that says whether to go
on."""


class _Values(KVWriter):
    """Keeps the numbers that a logger writes."""

    def __init__(self) -> None:
        self._numbers: dict[str, float] = {}

    def write(self, key_values: dict[str, Any], key_excluded: dict, step: int = 0) -> None:
        self._numbers |= {
            name: float(value)
            for name, value in key_values.items()
            if isinstance(value, int | float | np.number)
        }

    def close(self) -> None:
        """Nothing is open."""

    def take(self) -> dict[str, float]:
        taken, self._numbers = self._numbers, {}
        return taken


@final
class TrainingModel:
    """What callbacks see as `self.model`: the agent in training, by the names of a model.

    Attributes:
        agent: The agent itself, as trained so far: `agent.adapt(env)` adapts.
        num_timesteps: Real steps so far, all environments together.
        logger: What is recorded here is logged with the meta-iteration's metrics.
    """

    def __init__(self, components: Components) -> None:
        self.agent = MetaAgent(components)
        self.num_timesteps = 0
        self.values = _Values()
        self.logger = Logger(folder=None, output_formats=[self.values])
        sampler = components.config.sampler
        n_episodes = sampler.support_episodes + sampler.query_episodes
        observations, actions = components.observation_space, components.action_space

        def make() -> gymnasium.Env:
            return SpacesOnly(observations, actions)

        self._env = DummyVecEnv([make] * (sampler.tasks_per_batch * n_episodes))

    def get_env(self) -> VecEnv:
        """Environments that only carry spaces, one for each episode of a meta-iteration."""
        return self._env

    def get_vec_normalize_env(self) -> None:
        """There is none: the policy standardises observations itself."""

    def predict(
        self,
        observation: np.ndarray,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[Any, tuple[np.ndarray, ...] | None]:
        """Actions of the policy that tasks start from: nothing has been adapted to yet."""
        return self._initial().predict(observation, state, episode_start, deterministic)

    def save(self, path: str) -> None:
        """Write the policy that tasks start from, as `AdaptedPolicy.to_sb3` does."""
        self._initial().to_sb3(path)

    def dump_logs(self) -> None:
        """Every meta-iteration is logged anyway."""

    def _initial(self) -> AdaptedPolicy:
        parts = self.agent.components
        assert isinstance(parts.observation_space, spaces.Box)
        parameters = parts.meta_learner.initial_policy(1)
        return AdaptedPolicy(
            parts.policy, parameters, parts.observation_space, parts.action_space, seed=0
        )


@final
class Sb3Events(TrainingEvents):
    """Tells callbacks of a run in the events that they know.

    A meta-iteration is one step of `get_env().num_envs` episodes: `on_rollout_start`, the
    iteration, `on_step` and `on_rollout_end`. So `save_freq` and `eval_freq` count
    meta-iterations, and `num_timesteps` real steps. `locals` has `dones` (one for each episode),
    `infos`, `metrics`, `meta_iterations` and `total_timesteps`.

    Raises `ConfigError` for what is no callback.
    """

    def __init__(
        self,
        callback: Callback | Sequence[BaseCallback],
        components: Components,
        *,
        total_real_steps: int,
    ) -> None:
        self._callback = _as_callback(callback)
        self._model, self._total = TrainingModel(components), total_real_steps
        self._stop = False

    def on_start(self, progress: Progress) -> None:
        self._note(progress)
        self._callback.init_callback(self._model)  # pyrefly: ignore[bad-argument-type]
        self._callback.on_training_start(self._locals(progress), globals())

    def on_iteration_start(self) -> None:
        self._callback.on_rollout_start()

    def on_iteration_end(self, progress: Progress) -> dict[str, float]:
        self._note(progress)
        self._callback.update_locals(self._locals(progress))
        self._stop = not self._callback.on_step()
        if not self._stop:
            self._callback.on_rollout_end()
        self._model.logger.dump(progress.real_steps)
        return self._model.values.take()

    @property
    def wants_to_stop(self) -> bool:
        return self._stop

    def on_end(self) -> None:
        self._callback.on_training_end()

    def _note(self, progress: Progress) -> None:
        self._model.num_timesteps = progress.real_steps
        agent = self._model.agent
        agent.real_steps, agent.meta_iterations = progress.real_steps, progress.meta_iterations

    def _locals(self, progress: Progress) -> dict[str, Any]:
        n_episodes = self._model.get_env().num_envs
        return {
            "self": self._model,
            "total_timesteps": self._total,
            "meta_iterations": progress.meta_iterations,
            "metrics": progress.metrics,
            "dones": np.ones(n_episodes, bool),
            "infos": [{} for _ in range(n_episodes)],
        }


def _as_callback(callback: Callback | Sequence[BaseCallback]) -> BaseCallback:
    if isinstance(callback, BaseCallback):
        return callback
    if callable(callback):
        return ConvertCallback(callback)
    if isinstance(callback, Sequence) and all(isinstance(one, BaseCallback) for one in callback):
        return CallbackList(list(callback))
    raise ConfigError(
        f"callback is {callback!r}; give a BaseCallback of Stable-Baselines3, a list of such, or a "
        "function of local and global variables that says whether to go on"
    )
