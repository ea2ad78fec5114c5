"""Replay of real and generated transitions for Stable-Baselines3's off-policy algorithms."""

from typing import Any, NamedTuple, final

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from metarl_gan.envs.transitions import Transitions

GENERATED = "generated"
"""The key of an `info` that says a row is generated."""


class TransitionRows(NamedTuple):
    """Valid transitions as arrays `[rows, ...]`."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    next_observations: np.ndarray
    terminated: np.ndarray


def transition_rows(batch: Transitions) -> TransitionRows:
    """The valid transitions of a batch, of all its tasks, one after the other."""

    def rows(value: torch.Tensor) -> np.ndarray:
        return value[batch.valid].cpu().numpy()

    return TransitionRows(
        observations=rows(batch.observations),
        actions=rows(batch.actions),
        rewards=rows(batch.rewards),
        next_observations=rows(batch.next_observations),
        terminated=rows(batch.terminated),
    )


@final
class MixedReplayBuffer(ReplayBuffer):
    """A `replay_buffer_class` whose samples hold a fixed share of generated transitions.

    Real and generated rows are kept apart, each kind in a ring of `buffer_size`. A step whose
    `info` has `generated: True` is generated, as those of an `ImaginedVecEnv` are. A sample of n
    rows has `round(share * n)` generated ones, or all of one kind where there is none of the
    other. With a share of 0 it is Stable-Baselines3's `ReplayBuffer` of the real rows, to the bit.

    >>> from stable_baselines3 import SAC
    >>> model = SAC(
    ...     "MlpPolicy",
    ...     "Pendulum-v1",
    ...     replay_buffer_class=MixedReplayBuffer,
    ...     replay_buffer_kwargs={"share": 0.5},
    ...     buffer_size=1000,
    ... )

    Raises `ValueError` for a share that is not between 0 and 1, or `optimize_memory_usage`.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: gymnasium.Space,
        action_space: gymnasium.Space,
        device: torch.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        share: float = 0.0,
    ) -> None:
        if optimize_memory_usage:
            raise ValueError("rows of two kinds do not follow each other: no optimize_memory_usage")
        # Rows lie one by one, whichever environment they are of: a sample draws rows.
        super().__init__(
            buffer_size,
            observation_space,
            action_space,
            device,
            handle_timeout_termination=handle_timeout_termination,
        )
        self.share = share
        self.generated = ReplayBuffer(
            buffer_size,
            observation_space,
            action_space,
            device,
            handle_timeout_termination=handle_timeout_termination,
        )

    @property
    def share(self) -> float:
        """Share of generated rows in a sample."""
        return self._share

    @share.setter
    def share(self, share: float) -> None:
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"share is {share}; give the share of generated rows, 0 to 1")
        self._share = share

    def add(
        self,
        obs: np.ndarray,
        next_obs: np.ndarray,
        action: np.ndarray,
        reward: np.ndarray,
        done: np.ndarray,
        infos: list[dict[str, Any]],
    ) -> None:
        actions = np.asarray(action).reshape(len(infos), self.action_dim)
        for row, info in enumerate(infos):
            part = slice(row, row + 1)
            arguments = (obs[part], next_obs[part], actions[part], reward[part], done[part], [info])
            if info.get(GENERATED, False):
                self.generated.add(*arguments)
            else:
                super().add(*arguments)

    def extend(self, batch: Transitions, *, generated: bool) -> None:
        """Take the valid transitions of a batch at once; a time limit is no end.

        The oldest make room; of more than `buffer_size` the last are kept.
        """
        _write(self.generated if generated else self, transition_rows(batch))

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """Draw rows, uniformly with replacement from each kind."""
        n_generated = round(self.share * batch_size)
        if not self.size():
            n_generated = batch_size
        elif not self.generated.size():
            n_generated = 0
        if n_generated == 0:
            return super().sample(batch_size, env)
        generated = self.generated.sample(n_generated, env)
        if n_generated == batch_size:
            return generated
        real = super().sample(batch_size - n_generated, env)
        # Rows of one step each: there are no discounts.
        return ReplayBufferSamples(
            *(torch.cat(pair) for pair in zip(real[:5], generated[:5], strict=True))
        )

    def reset(self) -> None:
        """Forget all rows."""
        super().reset()
        self.generated.reset()


def _write(buffer: ReplayBuffer, rows: TransitionRows) -> None:
    n_rows, size = len(rows.rewards), buffer.buffer_size
    kept = slice(max(0, n_rows - size), None)
    places = (buffer.pos + np.arange(n_rows)[kept]) % size
    buffer.observations[places, 0] = rows.observations[kept]
    buffer.next_observations[places, 0] = rows.next_observations[kept]
    buffer.actions[places, 0] = rows.actions[kept].reshape(len(places), -1)
    buffer.rewards[places, 0] = rows.rewards[kept]
    buffer.dones[places, 0] = rows.terminated[kept]
    buffer.timeouts[places, 0] = 0.0
    buffer.full = buffer.full or buffer.pos + n_rows >= size
    buffer.pos = (buffer.pos + n_rows) % size
