"""A policy of Stable-Baselines3, recurrent or not, as a player of all environments at once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from metarl_gan.agents.player import Player
from metarl_gan.agents.sb3_actions import Sb3Actions
from metarl_gan.agents.told import Told

Normalise = Callable[[np.ndarray], np.ndarray]
LstmState = tuple[np.ndarray, ...]
"""Hidden and cell state, `[layers, envs, size]` each."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """All that a player carries from episode to episode of a trial.

    `told [envs, size]`; `state` is `None` before the first step, and for policies without one.
    """

    told: np.ndarray
    state: LstmState | None

    def repeated(self, n: int) -> "Memory":
        """Each environment's memory `n` times over, one after the other."""
        state = self.state
        return Memory(
            told=self.told.repeat(n, axis=0),
            state=None if state is None else tuple(part.repeat(n, axis=1) for part in state),
        )


class Sb3Player(Player):
    """Plays on from where `memory` leaves off; from the start of a trial if there is none.

    Args:
        policy: Takes observations with what is told, normalised.
        told: Of as many environments as are played in, for trials that have begun.
        actions: Of the environments.
        normalise: Of observations with what is told, as in training.
        deterministic: Whether to take the most probable actions.
        memory: What an earlier player remembers.
    """

    def __init__(
        self,
        policy: BasePolicy,
        told: Told,
        actions: Sb3Actions,
        normalise: Normalise,
        *,
        deterministic: bool,
        memory: Memory | None = None,
    ) -> None:
        self._policy, self._told, self._actions = policy, told, actions
        self._normalise, self._deterministic = normalise, deterministic
        n_envs = len(told.values)
        self._taken = np.zeros(0)
        self._old_state = self._state = None if memory is None else memory.state
        self._no_starts = np.zeros(n_envs, bool)
        if memory is not None:
            told.values[:] = memory.told

    @property
    def memory(self) -> Memory:
        """What it remembers now."""
        return Memory(told=self._told.values.copy(), state=self._state)

    def act(self, observations: np.ndarray) -> tuple[np.ndarray, Tensor]:
        # A broken environment returns NaN, which policies refuse; the record shows it.
        inputs = self._normalise(np.nan_to_num(self._told.beside(observations)))
        self._old_state = self._state
        actions, self._state = self._policy.predict(
            inputs, self._state, self._no_starts, self._deterministic
        )
        self._taken = self._actions.to_environment(actions)
        return self._taken, torch.zeros(len(observations))

    def hear(self, rewards: np.ndarray, ended: np.ndarray, active: np.ndarray) -> None:
        """Remember the step, where one was taken: an episode that had ended changes nothing."""
        self._told.note(self._taken, rewards, ended, active)
        if self._state is None:
            return
        old = self._old_state or tuple(np.zeros_like(part) for part in self._state)
        moved = active[None, :, None]
        self._state = tuple(
            np.where(moved, new, before) for new, before in zip(self._state, old, strict=True)
        )
