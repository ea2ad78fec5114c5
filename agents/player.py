"""Whoever acts in all environments of a vector environment at once."""

from abc import ABC, abstractmethod
from typing import final

import numpy as np
import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.policy import Policy, Sampler
from metarl_gan.envs.stepping.vector import TaskVectorEnv


class Player(ABC):
    """Acts in every environment of a vector environment; may remember what it saw."""

    @abstractmethod
    def act(self, observations: np.ndarray) -> tuple[np.ndarray, Tensor]:
        """Actions as sampled `[envs, ...]` for observations `[envs, obs]`, and log-probabilities.

        Log-probabilities have as many elements as there are environments, in their order; 0 where
        nothing is learnt from them.
        """

    def hear(self, rewards: np.ndarray, ended: np.ndarray, active: np.ndarray) -> None:  # noqa: B027
        """What the actions led to, `[envs]` each; most players need not know.

        `active` are the environments that took a step: the others had ended before.
        """


@final
class PolicyPlayer(Player):
    """A task-batched policy, all tasks in one call."""

    def __init__(
        self,
        venv: TaskVectorEnv,
        policy: Policy,
        parameters: Parameters,
        generator: torch.Generator,
        *,
        deterministic: bool,
    ) -> None:
        self._shape = (len(venv.tasks), venv.envs_per_task, -1)
        self._generator = generator
        self._act = _mode(policy, parameters) if deterministic else policy.sampler(parameters)

    def act(self, observations: np.ndarray) -> tuple[np.ndarray, Tensor]:
        rows = torch.as_tensor(observations, device=self._generator.device).view(self._shape)
        actions, log_probs = self._act(rows, self._generator)
        return actions.flatten(0, 1).cpu().numpy(), log_probs


def _mode(policy: Policy, parameters: Parameters) -> Sampler:
    """A sampler that always gives the most probable action; log-probabilities are 0."""

    def act(observations: Tensor, _: torch.Generator) -> tuple[Tensor, Tensor]:
        return policy.mode(parameters, observations), observations.new_zeros(observations.shape[:2])

    return act
