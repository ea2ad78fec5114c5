"""A model of Stable-Baselines3 that learns on a family's tasks, many environments at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch import Tensor

from metarl_gan.agents.global_streams import global_stream_tensors, restore_global_streams
from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.optimisers import with_prefix
from metarl_gan.agents.sb3 import log_nothing
from metarl_gan.agents.sb3_actions import Sb3Actions
from metarl_gan.agents.sb3_player import Memory, Sb3Player
from metarl_gan.agents.sb3_state import (
    model_tensors,
    restore_model,
    restore_scale,
    scale_tensors,
)
from metarl_gan.agents.told import Told
from metarl_gan.agents.trial_vec_env import TrialVecEnv
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.task import Task

MakeModel = Callable[[VecEnv, int], BaseAlgorithm]
"""From environments and the steps of each between changes of task to a fresh model."""


@dataclass(frozen=True, kw_only=True)
class Practice:
    """What a model practises on.

    Args:
        family: Of the tasks.
        draw_tasks: The tasks of a block of trials, by its number: `n_envs` of them.
        n_envs: Environments that are stepped at once, each in a task of its own.
        make_told: What policies are told beside observations, for a number of environments.
        episodes_per_trial: Episodes of a task between resets of a recurrent policy's state.
        seed: Of the environments' randomness.
    """

    family: TaskFamily
    draw_tasks: Callable[[int], Sequence[Task]]
    n_envs: int
    make_told: Callable[[int], Told]
    episodes_per_trial: int
    seed: int


class Sb3Learner:
    """A model with its environments, and the players that it makes.

    Observations and rewards are scaled by running statistics (`VecNormalize`), which are part of
    what is learnt. Weights are drawn from torch's global generator: see `global_streams`.

    Args:
        practice: What to learn on.
        make_model: Makes the model.
        discount: By which returns are added up, for the scale of rewards.
    """

    def __init__(self, practice: Practice, make_model: MakeModel, *, discount: float) -> None:
        self._practice = practice
        venv = practice.family.make_vec(practice.draw_tasks(0), 1)
        self.trials = TrialVecEnv(
            venv,
            practice.draw_tasks,
            practice.make_told(practice.n_envs),
            episodes_per_trial=practice.episodes_per_trial,
            seed=practice.seed,
        )
        # SAC draws its first actions from the space itself, which has a generator of its own.
        self.trials.action_space.seed(practice.seed)
        self._scale = VecNormalize(self.trials, gamma=discount)
        self.model = make_model(self._scale, self.trials.block_steps)
        log_nothing(self.model)
        self._actions = Sb3Actions(practice.family.action_space)

    def learn(self, steps: int, callbacks: Sequence[BaseCallback] = ()) -> None:
        """Take `steps` more real steps, all environments together, and learn from them."""
        self.model.learn(
            steps,
            callback=CallbackList([*callbacks]),
            log_interval=None,  # pyrefly: ignore[bad-argument-type] - None is what they test for
            reset_num_timesteps=False,
        )

    def player(
        self, rows: Sequence[Task], *, deterministic: bool, memory: Memory | None = None
    ) -> Sb3Player:
        """Who plays with the weights of now in environments of the tasks `rows [envs]`."""
        told = self._practice.make_told(len(rows))
        told.begin(rows, np.ones(len(rows), bool))
        return Sb3Player(
            self.model.policy,
            told,
            self._actions,
            self._normalise,
            deterministic=deterministic,
            memory=memory,
        )

    def tensors(self) -> dict[str, Tensor]:
        """A copy of all that acting needs: the policy's weights and the scale of observations."""
        weights = self.model.policy.state_dict()
        return {
            **{f"policy.{name}": value.detach().clone() for name, value in weights.items()},
            "observations.mean": torch.from_numpy(np.array(self._statistics.mean)),
            "observations.var": torch.from_numpy(np.array(self._statistics.var)),
        }

    def restore(self, tensors: Parameters) -> None:
        """Inverse of `tensors`."""
        self.model.policy.load_state_dict(with_prefix(tensors, "policy."))
        self._statistics.mean = tensors["observations.mean"].numpy()
        self._statistics.var = tensors["observations.var"].numpy()

    def training_tensors(self) -> dict[str, Tensor]:
        """A copy of all that learning goes on from, where a block of trials begins.

        The global generators are part of it: see `global_streams`.
        """
        parts = {
            "model": model_tensors(self.model),
            "scale": scale_tensors(self._scale),
            "streams": global_stream_tensors(),
            "trials": {
                "block": torch.tensor(self.trials.block),
                "real_steps": torch.tensor(self.trials.real_steps),
            },
        }
        return {f"{part}.{name}": v for part, own in parts.items() for name, v in own.items()}

    def restore_training(self, tensors: Parameters) -> None:
        """Go on from `training_tensors` of a learner that was made alike, to the same weights."""
        trials = with_prefix(tensors, "trials.")
        self.trials.go_to(int(trials["block"]), int(trials["real_steps"]))
        restore_model(self.model, with_prefix(tensors, "model."))
        restore_scale(self._scale, with_prefix(tensors, "scale."))
        restore_global_streams(with_prefix(tensors, "streams."))
        if isinstance(self.model, OffPolicyAlgorithm):
            for _ in range(min(self.model.num_timesteps, self.model.learning_starts)):
                self.trials.action_space.sample()  # as many as were drawn

    def close(self) -> None:
        """Close the environments; players go on to work."""
        self.trials.close()

    @property
    def _statistics(self) -> RunningMeanStd:
        statistics = self._scale.obs_rms
        assert isinstance(statistics, RunningMeanStd)  # observations are one Box
        return statistics

    def _normalise(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self._scale.normalize_obs(rows))
