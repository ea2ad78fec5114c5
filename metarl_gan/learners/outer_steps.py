"""OuterStep: how the outer loop moves what is learnt, once it has seen a meta-batch."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import final

import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.optimisers import optimiser_tensors, restore_optimiser, with_prefix
from metarl_gan.agents.policy_gradient import MixedRows
from metarl_gan.config import LearnerConfig
from metarl_gan.learners.execution import Execution
from metarl_gan.learners.inner_loop import step_sizes_of
from metarl_gan.learners.meta_objective import PARAMETERS, STEP_SIZES, MetaObjective


class OuterStep(ABC):
    """The role: from a meta-batch to other initial parameters and step sizes, in place."""

    @abstractmethod
    def take(
        self, objective: MetaObjective, learnt: dict[str, Tensor], played: Parameters
    ) -> dict[str, float]:
        """Change those of `learnt` that require a gradient; what to log.

        `played [tasks, ...]` are the parameters that the inner loop came to, and that played the
        query.
        """

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """What is kept from one meta-batch to the next, for a checkpoint."""

    @abstractmethod
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Inverse of `tensors`."""


@final
class ClippedSteps(OuterStep):
    """Several Adam steps on the clipped surrogate, with the inner loop done again in each.

    ProMP (Rothfuss et al. 2019). With a penalty on the policies' divergence, its weight doubles
    after an update that went 1.5 times as far as the target, and halves after one that stayed as
    much below (Schulman et al. 2017, section 4).
    """

    def __init__(
        self,
        config: LearnerConfig,
        learnt: Mapping[str, Tensor],
        execution: Execution,
    ) -> None:
        self._execution = execution
        self._config = config
        self._trained = [value for value in learnt.values() if value.requires_grad]
        self._optimiser = torch.optim.Adam(self._trained, lr=config.outer_lr, betas=(0.5, 0.99))
        self._kl_weight = config.kl_penalty

    def take(
        self, objective: MetaObjective, learnt: dict[str, Tensor], played: Parameters
    ) -> dict[str, float]:
        losses = []
        norm = torch.zeros(())
        for _ in range(self._config.outer_epochs):
            loss = self._set_gradient(objective, learnt)
            norm = torch.nn.utils.clip_grad_norm_(self._trained, self._config.max_grad_norm)
            self._optimiser.step()
            losses.append(loss)
        metrics = {
            "outer_loss": float(losses[-1]),
            "outer_gain": float(losses[0] - losses[-1]),
            "meta_gradient_norm": float(norm),
        }
        return metrics | self._adapt_penalty(objective, learnt)

    def _set_gradient(self, objective: MetaObjective, learnt: Parameters) -> Tensor:
        """Give what is learnt the gradient of the loss, which is returned."""
        loss, gradient = self._execution.gradient(
            partial(objective.loss, kl_weight=self._kl_weight), learnt, objective.size
        )
        for name, value in gradient.items():
            learnt[name].grad = value
        return loss

    def tensors(self) -> dict[str, Tensor]:
        kept = {f"optimiser.{k}": v for k, v in optimiser_tensors(self._optimiser).items()}
        if self._config.kl_penalty:
            kept["kl_weight"] = torch.tensor(self._kl_weight, dtype=torch.float64)
        return kept

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        restore_optimiser(self._optimiser, with_prefix(tensors, "optimiser."))
        if self._config.kl_penalty:
            self._kl_weight = float(tensors["kl_weight"])

    def _adapt_penalty(
        self, objective: MetaObjective, learnt: Mapping[str, Tensor]
    ) -> dict[str, float]:
        if not self._config.kl_penalty:
            return {}
        with torch.no_grad():
            reached = float(objective.divergence(learnt))
        logged = {"outer_kl": reached, "kl_weight": self._kl_weight}
        # Written so that a divergence that is no number raises the weight.
        if reached < self._config.kl_target / 1.5:
            self._kl_weight /= 2.0
        elif not reached <= self._config.kl_target * 1.5:
            self._kl_weight *= 2.0
        return logged


@final
class Interpolation(OuterStep):
    """Reptile: go part of the way to where the tasks ended, after a step on the query too.

    `parameters += reptile_step · (mean over tasks of where they ended - parameters)` (Nichol et
    al. 2018, algorithm 2).
    """

    def __init__(self, config: LearnerConfig) -> None:
        self._config = config

    def take(
        self, objective: MetaObjective, learnt: dict[str, Tensor], played: Parameters
    ) -> dict[str, float]:
        step_sizes = step_sizes_of(self._config, with_prefix(learnt, STEP_SIZES))
        with torch.no_grad():
            ends = objective.loop.step(played, step_sizes, MixedRows(real=objective.query))
            for name, value in with_prefix(learnt, PARAMETERS).items():
                value.lerp_(ends[name].mean(0), self._config.reptile_step)
            return {"outer_loss": float(objective.loss_of_adapted(ends, self._config.outer_clip))}

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        pass
