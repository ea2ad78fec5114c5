"""The outer step of TRPO: as far as the adapted policies may go from those that played."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters
from metarl_gan.config import LearnerConfig
from metarl_gan.learners.meta_objective import MetaObjective
from metarl_gan.learners.outer_steps import OuterStep

BACKTRACKS = 15
"""Shorter steps that are tried before none is taken."""
SHRINK = 0.8
"""Of a step by the next."""


@final
class TrustRegionStep(OuterStep):
    """One natural-gradient step that a line search shortens (Schulman et al. 2015, appendix C).

    The divergence is that of the adapted policies, through the inner loop (Finn et al. 2017,
    appendix A.2). A step is taken only if the mean divergence stays within `max_kl` and the
    surrogate improves; else all stays as it was.
    """

    def __init__(self, config: LearnerConfig) -> None:
        self._config = config

    def take(
        self, objective: MetaObjective, learnt: dict[str, Tensor], played: Parameters
    ) -> dict[str, float]:
        problem = TrustRegionProblem(objective, learnt, self._config.curvature_share)
        gradient = problem.gradient
        direction = conjugate_gradient(
            lambda v: problem.curvature(v) + self._config.cg_damping * v,
            -gradient,
            self._config.cg_iterations,
        )
        length = problem.length(direction, self._config.max_kl)
        found = self._line_search(problem, length * direction)
        metrics = {
            "outer_loss": problem.loss_before,
            "outer_gain": 0.0,
            "meta_gradient_norm": float(gradient.norm()),
            "outer_kl": 0.0,
            "backtracks": float(BACKTRACKS),
        }
        if found is None:
            return metrics
        step, after, backtracks = found
        problem.move(step)
        return metrics | {
            "outer_loss": after.loss,
            "outer_gain": problem.loss_before - after.loss,
            "outer_kl": after.divergence,
            "backtracks": float(backtracks),
        }

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        pass

    def _line_search(
        self, problem: "TrustRegionProblem", full_step: Tensor
    ) -> "tuple[Tensor, Outcome, int] | None":
        """The longest step of those tried that keeps within the region and improves."""
        if not bool(torch.isfinite(full_step).all()):
            return None
        for backtracks in range(BACKTRACKS):
            step = SHRINK**backtracks * full_step
            after = problem.outcome(step)
            # Comparisons with what is no number are False: such a step is not taken.
            if after.divergence <= self._config.max_kl and after.loss < problem.loss_before:
                return step, after, backtracks
        return None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a step leads to: surrogate loss, and mean divergence in nats."""

    loss: float
    divergence: float


@final
class TrustRegionProblem:
    """Surrogate and divergence around where the learnt tensors are, as functions of one vector.

    Args:
        objective: The meta-batch.
        learnt: All tensors that it is a function of; those that require a gradient move.
        curvature_share: Share of the episodes that the curvature is computed on.
    """

    def __init__(
        self,
        objective: MetaObjective,
        learnt: Mapping[str, Tensor],
        curvature_share: float,
    ) -> None:
        self._objective, self._learnt = objective, learnt
        self._names = [name for name, value in learnt.items() if value.requires_grad]
        self._moving = [learnt[name] for name in self._names]
        self._sample = objective.first_episodes(curvature_share)
        self._adapted = self._sample.adapted(learnt)
        # Where it is to be 0: at these policies themselves, whoever played.
        self._here = {name: value.detach() for name, value in self._adapted.items()}
        self._transformable = self._sample.played_by(self._here).transformable()
        self._divergence_gradient = torch.func.grad(self._transformable.divergence_of_adapted)
        self.loss_before, self.gradient = self._value_and_gradient()

    def _value_and_gradient(self) -> tuple[float, Tensor]:
        adapted = self._objective.adapted(self._learnt)
        loss = self._objective.loss_of_adapted(adapted, math.inf)
        return float(loss.detach()), _vector(torch.autograd.grad(loss, self._moving))

    def curvature(self, vector: Tensor) -> Tensor:
        """The Hessian of the mean divergence times a vector.

        Where the divergence is 0, its gradient in the adapted parameters is, too, so that of the
        chain rule `JᵀFJ` is left: `J` how adapted parameters follow the learnt ones, `F` the
        divergence's own Hessian.
        """
        with torch.no_grad():  # forward mode keeps no graph, and has no step to do again
            moved = torch.func.jvp(self._adapt, (self._parts_here(),), (self._parts(vector),))[1]
            pulled = torch.func.jvp(self._divergence_gradient, (self._here,), (moved,))[1]
        back = torch.autograd.grad(
            [self._adapted[name] for name in pulled],
            self._moving,
            list(pulled.values()),
            retain_graph=True,
        )
        return _vector(back)

    def length(self, direction: Tensor, max_kl: float) -> float:
        """How many times `direction` the divergence's quadratic model allows."""
        bend = float(direction @ self.curvature(direction))
        return math.sqrt(2.0 * max_kl / bend) if bend > 0 else 0.0

    @torch.no_grad()
    def outcome(self, step: Tensor) -> Outcome:
        """What a step leads to; nothing moves."""
        there = {k: self._learnt[k] + v for k, v in self._parts(step).items()}
        adapted = self._objective.adapted({**self._learnt, **there})
        return Outcome(
            loss=float(self._objective.loss_of_adapted(adapted, math.inf)),
            divergence=float(self._objective.divergence_of_adapted(adapted)),
        )

    @torch.no_grad()
    def move(self, step: Tensor) -> None:
        """Take a step, in place."""
        for name, value in self._parts(step).items():
            self._learnt[name].add_(value)

    def _adapt(self, moving: Parameters) -> dict[str, Tensor]:
        return self._transformable.adapted({**self._learnt, **moving})

    def _parts_here(self) -> dict[str, Tensor]:
        return {name: self._learnt[name].detach() for name in self._names}

    def _parts(self, vector: Tensor) -> dict[str, Tensor]:
        parts = vector.split([value.numel() for value in self._moving])
        shaped = (part.view_as(v) for part, v in zip(parts, self._moving, strict=True))
        return dict(zip(self._names, shaped, strict=True))


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], right: Tensor, iterations: int
) -> Tensor:
    """Solve `A x = right` for symmetric positive definite `A`, given as `product(v) = A v`.

    (Hestenes & Stiefel 1952.) Stops early where the residual is rounding.
    """
    solution = torch.zeros_like(right)
    residual, towards = right.clone(), right.clone()
    size = residual @ residual
    enough = torch.finfo(right.dtype).eps ** 2 * size
    for _ in range(iterations):
        if not bool(size > enough):
            break
        image = product(towards)
        step = size / (towards @ image)
        solution = solution + step * towards
        residual = residual - step * image
        before, size = size, residual @ residual
        towards = residual + (size / before) * towards
    return solution


def _vector(tensors: "tuple[Tensor, ...]") -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])
