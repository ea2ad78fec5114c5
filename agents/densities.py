"""Log-probabilities of given actions as functions of a network's outputs, with their derivatives.

What a policy is besides its network. The derivatives are written out, so that whoever needs those
of a whole policy puts them together with the network's (`written_out`) and autograd keeps no graph.
All rows are those of one object: `[tasks, rows, ...]`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Moved:
    """Something of the shape of what a density is a function of: a direction, or a gradient."""

    outputs: Tensor
    """Of the network, `[tasks, rows, out]`."""
    log_std: Tensor | None = None
    """`[tasks, act]`, of densities that have one."""


class Density(ABC):
    """The log-probabilities `[tasks, rows]` of given actions, around where they were evaluated."""

    @abstractmethod
    def log_probs(self) -> Tensor:
        """The log-probabilities, which are not kept: a graph may hold what this object does."""

    @abstractmethod
    def pull(self, weights: Tensor) -> Moved:
        """Gradient of the sum of `weights * log_probs`; `weights [tasks, rows]` are constants."""

    @abstractmethod
    def bend(self, weights: Tensor, curvature: Tensor, direction: Moved) -> Moved:
        """Derivative along `direction` of `pull`, of weights that follow the log-probabilities.

        `curvature` is the derivative of each row's weight in its log-probability.
        """


@final
class GaussianDensity(Density):
    """Of a normal distribution whose means are the outputs: `z = (actions - means) / std`.

    Args:
        means: `[tasks, rows, act]`.
        log_std: Logarithm of the standard deviation, `[tasks, act]`.
        bounds: What `log_std` is clamped to; beyond, nothing follows it.
        actions: In the units of the means.
        constant: Added to every log-probability.
    """

    def __init__(
        self,
        means: Tensor,
        log_std: Tensor,
        bounds: tuple[float, float],
        actions: Tensor,
        constant: float,
    ) -> None:
        bounded = log_std.clamp(*bounds)
        self._follows = (bounded == log_std).to(log_std.dtype)
        self._precision = torch.exp(-bounded).unsqueeze(-2)
        self._noise = (actions - means).mul_(self._precision)
        self._squares = self._noise * self._noise
        self._at_mean = constant - bounded.sum(-1, keepdim=True)

    def log_probs(self) -> Tensor:
        return torch.add(self._at_mean, self._squares.sum(-1), alpha=-0.5)

    def pull(self, weights: Tensor) -> Moved:
        columns = weights.unsqueeze(-1)
        weighted = self._noise * columns
        log_std = (weighted * self._noise).sum(-2) - weights.sum(-1, keepdim=True)
        return Moved(outputs=weighted.mul_(self._precision), log_std=log_std.mul_(self._follows))

    def bend(self, weights: Tensor, curvature: Tensor, direction: Moved) -> Moved:
        assert direction.log_std is not None
        log_std = direction.log_std * self._follows
        row = log_std.unsqueeze(-2)
        # How z moves, negated: means' / std + z log_std'.
        moved = (direction.outputs * self._precision).addcmul_(self._noise, row)
        turned = (self._noise * moved).sum(-1).sub_(log_std.sum(-1, keepdim=True)).mul_(curvature)
        columns, turned_columns = weights.unsqueeze(-1), turned.unsqueeze(-1)
        of_squares = (self._squares * turned_columns).addcmul_(
            self._noise, moved * columns, value=-2.0
        )
        outputs = (self._noise * turned_columns).addcmul_(
            columns, moved.addcmul_(self._noise, row), value=-1.0
        )
        spread = of_squares.sum(-2).sub_(turned.sum(-1, keepdim=True))
        return Moved(outputs=outputs.mul_(self._precision), log_std=spread.mul_(self._follows))


@final
class CategoricalDensity(Density):
    """Of a softmax whose logits are the outputs; `index [tasks, rows]` is the action taken."""

    def __init__(self, logits: Tensor, index: Tensor) -> None:
        self._index = index.unsqueeze(-1)
        self._log_softmax = logits.log_softmax(-1)
        self._chances = self._log_softmax.exp()

    def log_probs(self) -> Tensor:
        return self._log_softmax.gather(-1, self._index).squeeze(-1)

    def pull(self, weights: Tensor) -> Moved:
        columns = weights.unsqueeze(-1)
        gradient = (self._chances * columns).neg_()
        return Moved(outputs=gradient.scatter_add_(-1, self._index, columns))

    def bend(self, weights: Tensor, curvature: Tensor, direction: Moved) -> Moved:
        mean = (self._chances * direction.outputs).sum(-1, keepdim=True)
        moved = direction.outputs - mean  # of every action's log-probability
        turned = moved.gather(-1, self._index).squeeze(-1).mul_(curvature)
        outputs = self.pull(turned).outputs
        changed = moved.mul_(self._chances)
        return Moved(outputs=outputs.addcmul_(changed, weights.unsqueeze(-1), value=-1.0))
