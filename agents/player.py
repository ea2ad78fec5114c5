"""Whoever acts in all environments of a vector environment at once."""

from abc import ABC, abstractmethod

import numpy as np
from torch import Tensor


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
