"""The inner loop as a function of where it starts, which outer loops differentiate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.policies import Policy
from metarl_gan.agents.policy_gradient import (
    Derivation,
    Estimator,
    MixedRows,
    inner_step,
    policy_gradient,
)
from metarl_gan.config import LearnerConfig


@final
@dataclass(frozen=True, kw_only=True)
class InnerLoop:
    """Policy-gradient steps of all tasks at once.

    Args:
        policy: How parameters act.
        clip: Of the importance ratio.
        estimator: What the gradients' own derivative estimates.
        first_order: Take gradients as constants: FOMAML (Finn et al. 2017, section 5.2).
        recompute: Keep no graph of a step, but do it again when the outer loop comes back to it
            (Chen et al. 2016): the memory of one step instead of all, the same up to rounding.
        by: Who differentiates. Others than `transforms` are nothing for `torch.func`.
    """

    policy: Policy
    clip: float
    estimator: Estimator = "low_variance"
    first_order: bool = False
    recompute: bool = False
    by: Derivation = "written_out"

    @classmethod
    def of(cls, policy: Policy, config: LearnerConfig) -> "InnerLoop":
        """As a config says."""
        return cls(
            policy=policy,
            clip=config.inner_clip,
            estimator=config.estimator,
            first_order=config.algorithm != "maml",
            recompute=config.checkpoint_inner_steps,
        )

    def step(
        self, parameters: Parameters, step_sizes: Parameters, rows: MixedRows
    ) -> dict[str, Tensor]:
        """One step: `parameters [tasks, ...]`, `step_sizes` that broadcast with them."""
        at = parameters
        if self.first_order:
            at = {name: value.detach() for name, value in parameters.items()}
        gradient = policy_gradient(self.policy, at, rows, self.clip, self.estimator, by=self.by)
        return inner_step(parameters, gradient, step_sizes)

    def through(
        self, parameters: Parameters, step_sizes: Parameters, drawn: Sequence[MixedRows]
    ) -> dict[str, Tensor]:
        """A step on each of `drawn`; differentiable in `parameters` and `step_sizes`."""
        here = dict(parameters)
        for rows in drawn:
            if self.recompute and torch.is_grad_enabled() and not self.first_order:
                here = checkpoint(
                    # What another keeps of a step does not go when the step does.
                    replace(self, by="autograd").step,
                    here,
                    step_sizes,
                    rows,
                    use_reentrant=False,
                    preserve_rng_state=False,
                )
            else:
                here = self.step(here, step_sizes, rows)
        return here


def initial_step_sizes(config: LearnerConfig, parameters: Parameters) -> dict[str, Tensor]:
    """What inner step sizes are learnt as, all of them `inner_lr` at first.

    One per tensor is learnt as its logarithm: a step of a whole tensor against its gradient helps
    no task. One per parameter is learnt as a factor of `inner_lr`, free in sign and down to 0, so
    that the start also says what not to adapt (Li et al. 2017, section 3.1: the vector is update
    direction and learning rate in one). An outer step moves both alike at first: near a factor of
    1, its change is that of the logarithm.
    """
    if config.inner_lr_per == "parameter":
        return {name: torch.ones_like(value) for name, value in parameters.items()}
    log = math.log(config.inner_lr)
    return {name: value.new_full((), log) for name, value in parameters.items()}


def step_sizes_of(config: LearnerConfig, learnt: Parameters) -> dict[str, Tensor]:
    """The step sizes, from what `initial_step_sizes` gave and the outer loop learnt."""
    if config.inner_lr_per == "parameter":
        return {name: config.inner_lr * value for name, value in learnt.items()}
    return {name: value.exp() for name, value in learnt.items()}
