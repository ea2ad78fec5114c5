"""What it takes to bring an environment back to where it was."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metarl_gan.envs.action_format import ActionFormat
from metarl_gan.envs.stepping.rows import Outcome


@dataclass(frozen=True, kw_only=True, eq=False)
class Episode:
    """An episode that is not over.

    Attributes:
        seed: What the environment was reset with; `None` leaves its start to chance.
        actions: Since then, `[time, …]`.
        observation: The last one, float32 `[obs]`.
    """

    seed: int | None
    actions: np.ndarray
    observation: np.ndarray


class EpisodeLog:
    """The episodes that rows are in the middle of.

    Args:
        n_rows: How many rows there are.
        horizon: Steps after which an episode is over at the latest.
        observation_shape: Of one row.
        actions: How they lie in arrays.
    """

    def __init__(
        self,
        n_rows: int,
        horizon: int,
        observation_shape: tuple[int, ...],
        actions: ActionFormat,
    ) -> None:
        self._horizon = horizon
        self._seeds: dict[int, int | None] = {}
        self._going = np.zeros(n_rows, bool)
        self._lengths = np.zeros(n_rows, np.int64)
        # Pages that no episode has reached yet take no memory.
        self._actions = np.zeros((horizon, n_rows, *actions.shape), actions.dtype)
        self._observations = np.zeros((n_rows, *observation_shape), np.float32)

    def begin(self, seeds: Mapping[int, int | None], observations: np.ndarray) -> None:
        """Rows have been reset to `observations` `[n, obs]`."""
        self._seeds |= seeds
        rows = list(seeds)
        self._going[rows], self._lengths[rows] = True, 0
        self._observations[rows] = observations

    def add(self, rows: np.ndarray, actions: np.ndarray, outcome: Outcome) -> None:
        """Rows have been stepped."""
        lengths = self._lengths[rows]
        self._actions[lengths, rows] = actions
        lengths += 1
        self._lengths[rows] = lengths
        over = outcome.terminated | outcome.truncated
        self._going[rows] = (lengths < self._horizon) & ~over
        self._observations[rows] = outcome.observations

    def end(self, row: int) -> None:
        """A row's episode is not to be continued."""
        self._going[row] = False

    def goes_on(self, row: int) -> bool:
        """Whether a row is in the middle of an episode."""
        return bool(self._going[row])

    def episode(self, row: int) -> Episode:
        """The episode that a row is in the middle of."""
        return Episode(
            seed=self._seeds[row],
            actions=self._actions[: self._lengths[row], row].copy(),
            observation=self._observations[row].copy(),
        )
