"""How a trained generator takes in a task's real transitions, beyond encoding them.

All functions take `rows [tasks, rows, size]` of the tasks, and weights of members.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters
from metarl_gan.generator import Generator, over_rows
from metarl_gan.generator_config import GeneratorConfig
from metarl_gan.transition_space import Rows


@dataclass(frozen=True, kw_only=True)
class AnchorWeights:
    """What the heads count in a loss."""

    state: float
    reward: float
    terminated: float


INVERTED = AnchorWeights(state=0.5, reward=1.0, terminated=0.0)
"""What inversion descends: mostly the reward, which is what the encoding is for."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Rows of tasks as the generator's networks take them.

    Members share rows: with weights of their own, `[members, tasks * rows, size]`; with weights
    that adapted to a task each, `[members * tasks, rows, size]`.
    """

    n_members: int
    n_tasks: int
    adapted: bool

    def spread(self, values: Tensor) -> Tensor:
        """From `[tasks, rows, size]`: every member gets them all."""
        expanded = values.expand(self.n_members, *values.shape)
        return expanded.flatten(0, 1) if self.adapted else expanded.flatten(1, 2)

    def gather(self, values: Tensor) -> Tensor:
        """Inverse of `spread`, member by member: `[members, tasks, rows, ...]`."""
        if self.adapted:
            return values.unflatten(0, (self.n_members, self.n_tasks))
        return values.unflatten(1, (self.n_tasks, -1))

    def rows(self, rows: Rows) -> Rows:
        """`spread` of every field."""
        return Rows(
            **{
                name: self.spread(value.unsqueeze(-1)).squeeze(-1)
                if name == "valid"
                else self.spread(value)
                for name, value in vars(rows).items()
            }
        )


def anchor_losses(
    generator: Generator,
    weights: Parameters,
    encoding: Tensor,
    rows: Rows,
    layout: Layout,
    stream: torch.Generator | None,
) -> dict[str, Tensor]:
    """Losses `[members, tasks]` by head, means over valid rows, under `encoding [tasks, size]`."""
    spread = layout.spread(over_rows(encoding, rows.valid.shape[-1]))
    losses = generator.losses(weights, layout.rows(rows), spread, stream)
    weight = rows.valid.to(rows.rewards.dtype)
    weight = weight / weight.sum(-1, keepdim=True).clamp(min=1.0)
    return {name: (layout.gather(value) * weight).sum(-1) for name, value in vars(losses).items()}


def weighted(losses: dict[str, Tensor], weights: AnchorWeights) -> Tensor:
    """The heads' losses in one, `[members, tasks]`."""
    return (
        weights.state * losses["state"]
        + weights.reward * losses["reward"]
        + weights.terminated * losses["terminated"]
    )


def invert(
    generator: Generator,
    weights: Parameters,
    encoding: Tensor,
    rows: Rows,
    config: GeneratorConfig,
) -> Tensor:
    """Refine encodings `[tasks, size]` by gradient through the frozen generator.

    An amortised encoding that is a little off can turn the sign of the policy gradient. One that
    is of another kind of task is left for one of `config.inversion_starts`, where there are any.
    """
    layout = Layout(n_members=_batch(weights), n_tasks=len(encoding), adapted=False)
    if 0 < config.inversion_rows < rows.valid.shape[-1]:
        rows = spread_out(rows, config.inversion_rows)

    def unexplained(encoding: Tensor) -> Tensor:
        losses = anchor_losses(generator, weights, encoding, rows, layout, None)
        return weighted(losses, INVERTED).mean(0)

    start = encoding.detach().clone()
    if config.inversion_starts:
        start = _best_start(unexplained, start, config.inversion_starts)
    refined = start.requires_grad_(True)
    optimiser = torch.optim.Adam([refined], lr=config.inversion_lr)
    for _ in range(config.inversion_steps):
        with torch.enable_grad():  # whoever adapts may have switched it off
            loss = unexplained(refined).sum()
        (refined.grad,) = torch.autograd.grad(loss, [refined])
        optimiser.step()
        with torch.no_grad():
            refined.clamp_(-1.0, 1.0)
    return refined.detach()


def spread_out(rows: Rows, n_rows: int) -> Rows:
    """`n_rows` of the rows of each task `[tasks, rows]`, evenly spread over its valid ones.

    A task with fewer valid rows than that keeps them all, and has invalid ones after them.
    """
    n_valid = rows.valid.sum(-1, keepdim=True)
    stretch = (n_valid / n_rows).clamp(min=1.0)
    ranks = (torch.arange(n_rows, device=n_valid.device) * stretch).long()
    valid_first = (~rows.valid).sort(dim=-1, stable=True).indices
    tasks = torch.arange(len(n_valid), device=n_valid.device).unsqueeze(-1)
    return rows.index(tasks, valid_first.gather(1, ranks))


@torch.no_grad()
def _best_start(unexplained: Callable[[Tensor], Tensor], encoding: Tensor, n_points: int) -> Tensor:
    """Task by task, `encoding`'s own row or the one of the points that leaves less unexplained."""
    best, least = encoding, unexplained(encoding)
    points = torch.quasirandom.SobolEngine(encoding.shape[-1], scramble=False).draw(n_points)
    for point in points.to(encoding).mul(2.0).sub(1.0):
        found = unexplained(point.expand_as(encoding))
        best = torch.where((found < least).unsqueeze(-1), point, best)
        least = torch.minimum(least, found)
    return best.clone()


def descend(
    loss: Callable[[Parameters], Tensor],
    weights: Parameters,
    *,
    n_steps: int,
    lr: float,
    differentiable: bool = False,
) -> dict[str, Tensor]:
    """Gradient descent of `loss`, a sum over what shares no weights, from `weights`.

    With `differentiable`, the result is a function of `weights` for autograd (Finn et al. 2017).
    """
    current = dict(weights)
    for _ in range(n_steps):
        if not differentiable:
            current = {name: v.detach().requires_grad_(True) for name, v in current.items()}
        gradients = torch.autograd.grad(
            loss(current), list(current.values()), create_graph=differentiable
        )
        current = {
            name: value - lr * gradient
            for (name, value), gradient in zip(current.items(), gradients, strict=True)
        }
    return current if differentiable else {name: v.detach() for name, v in current.items()}


def adapted_weights(
    generator: Generator,
    weights: Parameters,
    encoding: Tensor,
    rows: Rows,
    config: GeneratorConfig,
    anchor: AnchorWeights,
    *,
    differentiable: bool = False,
) -> dict[str, Tensor]:
    """Weights `[members * tasks, ...]` after gradient steps on each task's real rows."""
    n_tasks = len(encoding)
    layout = Layout(n_members=_batch(weights), n_tasks=n_tasks, adapted=True)
    everywhere = {
        name: value.unsqueeze(1).expand(-1, n_tasks, *value.shape[1:]).flatten(0, 1)
        for name, value in weights.items()
    }

    def loss(current: Parameters) -> Tensor:
        losses = anchor_losses(generator, current, encoding, rows, layout, None)
        return weighted(losses, anchor).sum()

    steps, lr = config.adaptation_steps, config.adaptation_lr
    with torch.enable_grad():
        return descend(loss, everywhere, n_steps=steps, lr=lr, differentiable=differentiable)


def _batch(weights: Parameters) -> int:
    return len(next(iter(weights.values())))
