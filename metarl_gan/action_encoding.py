"""Actions as the networks see them: continuous ones in unit scale, choices one-hot."""

from abc import ABC, abstractmethod
from typing import final

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from metarl_gan.envs.action_format import HybridActions, action_format


class ActionEncoding(nn.Module, ABC):
    """What the environment acts on, for the networks: `[..., size]`.

    Attributes:
        size: Components of an encoded action.
        n_columns: Components of an action as recorded; `None` for `int64` without a last axis.
        blank: What stands in rows that count for nothing: a number, or one for each column.
    """

    size: int
    n_columns: int | None
    blank: Tensor

    @abstractmethod
    def encode(self, actions: Tensor) -> Tensor:
        """Encoded actions `[..., size]`, from recorded ones, which need not be clipped."""

    @abstractmethod
    def foreign(self, actions: Tensor) -> str | None:
        """What of the actions `[rows, ...]` no policy of this space would do, and what it would."""


@final
class ContinuousEncoding(ActionEncoding):
    """Clipped to `low` and `high [act]`; what is bounded on both sides scaled to [-1, 1]."""

    low: Tensor
    high: Tensor
    scale: Tensor
    offset: Tensor

    def __init__(self, low: np.ndarray, high: np.ndarray) -> None:
        super().__init__()
        self.size = self.n_columns = len(low)
        lowest, highest = torch.as_tensor(low), torch.as_tensor(high)
        # Unbounded actions stay as they are.
        bounded = torch.isfinite(lowest) & torch.isfinite(highest)
        scale = torch.where(bounded, 2.0 / (highest - lowest), torch.ones_like(lowest))
        offset = torch.where(
            bounded, -(highest + lowest) / (highest - lowest), torch.zeros_like(lowest)
        )
        self.register_buffer("low", lowest.float(), persistent=False)
        self.register_buffer("high", highest.float(), persistent=False)
        self.register_buffer("scale", scale.float(), persistent=False)
        self.register_buffer("offset", offset.float(), persistent=False)
        self.register_buffer("blank", torch.zeros(()), persistent=False)

    def encode(self, actions: Tensor) -> Tensor:
        clipped = torch.clamp(actions, self.low, self.high)
        return torch.addcmul(self.offset, clipped, self.scale)

    def foreign(self, actions: Tensor) -> str | None:
        return None


@final
class DiscreteEncoding(ActionEncoding):
    """One of the numbers from `start` on, one-hot."""

    blank: Tensor
    numbers: Tensor

    def __init__(self, start: int, n: int) -> None:
        super().__init__()
        self.size, self.n_columns, self._start = n, None, start
        self.register_buffer("blank", torch.tensor(start), persistent=False)
        self.register_buffer("numbers", torch.arange(start, start + n), persistent=False)

    def encode(self, actions: Tensor) -> Tensor:
        # Not by index: rows that count for nothing may hold what is no choice.
        return (actions.unsqueeze(-1) == self.numbers).float()

    def foreign(self, actions: Tensor) -> str | None:
        last = self._start + self.size - 1
        outside = actions[(actions < self._start) | (actions > last)]
        if not len(outside):
            return None
        family = f"those of this generator's family are {self._start} to {last}"
        return f"action {int(outside[0])}; {family}"


@final
class HybridEncoding(ActionEncoding):
    """The continuous columns as in `ContinuousEncoding`, then each choice one-hot."""

    blank: Tensor
    own_columns: Tensor
    choice_columns: Tensor
    numbers: Tensor

    def __init__(self, actions: HybridActions) -> None:
        super().__init__()
        own = list(actions.continuous)
        self.n_columns = actions.shape[0]
        self.continuous = ContinuousEncoding(actions.low[own], actions.high[own])
        self._choices = actions.discrete
        # One component for each number that a discrete column may hold.
        components = [
            (choice.column, choice.start + index)
            for choice in actions.discrete
            for index in range(choice.n)
        ]
        self.size = len(own) + len(components)
        columns = torch.tensor([column for column, _ in components], dtype=torch.long)
        numbers = torch.tensor([number for _, number in components], dtype=torch.float32)
        blank = torch.zeros(self.n_columns)
        for choice in actions.discrete:
            blank[choice.column] = choice.start
        self.register_buffer("own_columns", torch.tensor(own, dtype=torch.long), persistent=False)
        self.register_buffer("choice_columns", columns, persistent=False)
        self.register_buffer("numbers", numbers, persistent=False)
        self.register_buffer("blank", blank, persistent=False)

    def encode(self, actions: Tensor) -> Tensor:
        continuous = self.continuous.encode(actions.index_select(-1, self.own_columns))
        chosen = actions.index_select(-1, self.choice_columns) == self.numbers
        return torch.cat([continuous, chosen.to(continuous.dtype)], dim=-1)

    def foreign(self, actions: Tensor) -> str | None:
        for choice in self._choices:
            column, last = actions[:, choice.column], choice.start + choice.n - 1
            outside = column[(column < choice.start) | (column > last) | (column != column.round())]
            if len(outside):
                return (
                    f"{float(outside[0]):g} in column {choice.column} of an action; this "
                    f"generator's family has the whole numbers {choice.start} to {last} there"
                )
        return None


def make_encoding(space: gymnasium.Space) -> ActionEncoding:
    """The encoding of the actions of a space. Raises `ValueError` where none fits."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return DiscreteEncoding(int(space.start), int(space.n))
    if isinstance(space, gymnasium.spaces.Box):
        return ContinuousEncoding(space.low, space.high)
    actions = action_format(space)
    if isinstance(actions, HybridActions):
        return HybridEncoding(actions)
    raise ValueError(f"action space {space} is neither Box nor Discrete, nor made of these")
