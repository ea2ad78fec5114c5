"""Rollouts, real and generated, for Stable-Baselines3's on-policy algorithms."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import final

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class RolloutRows:
    """Rows of rollouts `[rows, ...]` with what an on-policy algorithm wants to know of them.

    `log_probs` and `values` are those of when the rows were played or imagined.
    """

    observations: Tensor
    actions: Tensor
    log_probs: Tensor
    values: Tensor
    advantages: Tensor

    def __len__(self) -> int:
        return len(self.values)

    @staticmethod
    def cat(parts: "Sequence[RolloutRows]") -> "RolloutRows":
        """The rows of all parts."""
        names = vars(parts[0])
        return RolloutRows(
            **{name: torch.cat([getattr(part, name) for part in parts]) for name in names}
        )

    def samples(self, index: np.ndarray) -> RolloutBufferSamples:
        """Some rows as Stable-Baselines3 wants them."""
        at = torch.from_numpy(index)
        actions = self.actions[at]
        return RolloutBufferSamples(
            self.observations[at],
            actions.unsqueeze(-1) if actions.ndim == 1 else actions,
            self.values[at],
            self.log_probs[at],
            self.advantages[at],
            self.values[at] + self.advantages[at],
        )


@final
class MixedRolloutBuffer(RolloutBuffer):
    """Gives minibatches with a fixed share of generated rows.

    An epoch has as many rows as there are in all; of each minibatch of n, `round(share * n)` are
    generated. Either kind is gone through in random order, and over again where it is the
    shorter one. With a share of 0 an epoch is one pass over the real rows, in the order and the
    minibatches of Stable-Baselines3's `RolloutBuffer`.
    """

    def __init__(
        self,
        observation_space: gymnasium.Space,
        action_space: gymnasium.Space,
        real: RolloutRows,
        generated: RolloutRows | None = None,
        share: float = 0.0,
    ) -> None:
        # What the parent allocates is for collecting, which never happens here.
        super().__init__(1, observation_space, action_space, device="cpu")
        self._real, self._generated, self._share = real, generated, share
        if generated is None or share == 0:
            self._generated = None
        rows = [real] if self._generated is None else [real, self._generated]
        # For what Stable-Baselines3 logs of how well values explain returns.
        self.values = torch.cat([part.values for part in rows]).numpy()
        self.returns = self.values + torch.cat([part.advantages for part in rows]).numpy()

    def get(self, batch_size: int | None = None) -> Generator[RolloutBufferSamples, None, None]:
        """The minibatches of one epoch; one of all rows without `batch_size`."""
        n_rows = len(self.values)
        size = batch_size or n_rows
        starts = range(0, n_rows, size)
        if self._generated is None:
            order = np.random.permutation(n_rows)  # noqa: NPY002 - the algorithm's own stream
            yield from (self._real.samples(order[start : start + size]) for start in starts)
            return
        real, generated = _Rounds(self._real), _Rounds(self._generated)
        for start in starts:
            n = min(size, n_rows - start)
            n_generated = round(self._share * n)
            parts = (real.take(n - n_generated), generated.take(n_generated))
            yield RolloutBufferSamples(*(torch.cat(pair) for pair in zip(*parts, strict=True)))


class _Rounds:
    """Goes through rows in random order, round by round."""

    def __init__(self, rows: RolloutRows) -> None:
        self._rows, self._order = rows, np.zeros(0, np.int64)

    def take(self, n: int) -> RolloutBufferSamples:
        while len(self._order) < n:
            another = np.random.permutation(len(self._rows))  # noqa: NPY002
            self._order = np.concatenate([self._order, another])
        index, self._order = self._order[:n], self._order[n:]
        return self._rows.samples(index)
