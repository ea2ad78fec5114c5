"""Held-out errors of a generator: what the gate decides from, and what a run logs."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metarl_gan.generator import Generated
from metarl_gan.transition_space import Rows

WIDEST_SPREAD = 0.9
"""A generator whose own spread is this share of all variance says nothing of the task."""


@dataclass(frozen=True, kw_only=True)
class HeldOutErrors:
    """One-step errors in normalised units, so that 1 is what predicting the mean would give.

    All `[tasks]`, means over rows; `next_state` is a mean over components, too.
    """

    next_state: Tensor
    reward: Tensor
    terminated: Tensor
    unrefined: "HeldOutErrors | None" = None
    """What these were before the generator was fitted to the task, if it was."""

    def infinite_where(self, unknown: Tensor) -> "HeldOutErrors":
        """The same errors, infinite for the tasks of a mask `[tasks]`."""
        infinite = {
            name: value.masked_fill(unknown, torch.inf) for name, value in self.by_head().items()
        }
        return HeldOutErrors(**infinite, unrefined=self.unrefined)

    def select(self, tasks: Tensor | slice) -> "HeldOutErrors":
        """The errors of some tasks."""
        unrefined = None if self.unrefined is None else self.unrefined.select(tasks)
        heads = {name: value[tasks] for name, value in self.by_head().items()}
        return HeldOutErrors(**heads, unrefined=unrefined)

    def of_rewards(self) -> "HeldOutErrors":
        """The errors of a use that takes rewards alone: no other head can be wrong."""
        none = torch.zeros_like(self.reward)
        unrefined = None if self.unrefined is None else self.unrefined.of_rewards()
        return replace(self, next_state=none, terminated=none, unrefined=unrefined)

    def means(self) -> dict[str, float]:
        """Means over the tasks of which anything can be said, by name; none if there is no such."""
        known = ~self.worst.isinf()
        if not bool(known.any()):
            return {}
        return {name: float(value[known].mean()) for name, value in self.by_head().items()}

    @property
    def worst(self) -> Tensor:
        """The larger of the errors of next state, reward and termination."""
        return torch.stack([self.next_state, self.reward, self.terminated]).amax(0)

    def judged(self, weight: float) -> Tensor:
        """The worst error `[tasks]`, or `weight` times what it was before any fitting."""
        if self.unrefined is None or weight == 0:
            return self.worst
        return torch.maximum(self.worst, weight * self.unrefined.worst)

    def by_head(self) -> dict[str, Tensor]:
        """The errors of next state, reward and termination, by name."""
        return {
            "next_state": self.next_state,
            "reward": self.reward,
            "terminated": self.terminated,
        }


def held_out_errors(rows: Rows, first: Generated, second: Generated) -> HeldOutErrors:
    """Errors of two independent draws at the states and actions of real rows `[tasks, rows]`."""
    weight = rows.valid.to(rows.rewards.dtype)
    weight = weight / weight.sum(-1, keepdim=True).clamp(min=1.0)

    def unexplained(draw: Tensor, other: Tensor, real: Tensor) -> Tensor:
        return _unexplained(draw, other, real, weight.unsqueeze(-1)).mean(-1)

    terminated = torch.sigmoid(first.terminated_logits) - rows.terminated
    # A termination is rare: its error is relative to how often it happens in these rows.
    rate = (rows.terminated.squeeze(-1) * weight).sum(-1)
    variance = (rate * (1.0 - rate)).clamp(min=0.05)
    return HeldOutErrors(
        next_state=unexplained(first.changes, second.changes, rows.changes),
        reward=unexplained(first.rewards, second.rewards, rows.rewards),
        terminated=(terminated.square().squeeze(-1) * weight).sum(-1) / variance,
    )


def _unexplained(draw: Tensor, other: Tensor, real: Tensor, weight: Tensor) -> Tensor:
    """Mean squared distance to the real outcome beyond that between two draws, `[tasks, size]`.

    For a deterministic generator it is the squared error; for one that draws from the true
    distribution it is 0, however wide that is: E(x - y)² - E(x - x')² = var y - var x + bias².
    """
    distance = ((draw - real).square() * weight).sum(-2)
    spread = ((draw - other).square() * weight).sum(-2)
    # To draw from everything that any task does is calibrated, too, and useless.
    return torch.where(spread < 2.0 * WIDEST_SPREAD, (distance - spread).abs(), distance)
