"""Meta-learners by policy gradient: MAML, its first-order variant, and Reptile."""

import math
from typing import final

import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters, expand_over_tasks
from metarl_gan.agents.policies import Policy
from metarl_gan.agents.policy_gradient import (
    MixedRows,
    PolicyRows,
    inner_step,
    policy_gradient,
    surrogate_loss,
)
from metarl_gan.config import LearnerConfig
from metarl_gan.data_augmentation import MixedData, Mixture
from metarl_gan.dreams import policy_rows
from metarl_gan.meta_learner import Adapted, Experience, MetaLearner
from metarl_gan.optimisers import optimiser_tensors, restore_optimiser, with_prefix


@final
class GradientMetaLearner(MetaLearner):
    """MAML (Finn et al. 2017), its first-order variant, and Reptile (Nichol et al. 2018).

    All tasks adapt together. The outer objective is the clipped surrogate on the adapted
    policies' own episodes, several epochs per meta-batch, with the inner loop done again in
    each (ProMP, Rothfuss et al. 2019).
    """

    def __init__(self, policy: Policy, config: LearnerConfig, generator: torch.Generator) -> None:
        self.policy = policy
        self.config = config
        self.parameters = {
            name: value.requires_grad_(True)
            for name, value in policy.initial_parameters(generator).items()
        }
        self.log_step_sizes = {
            name: torch.full((), math.log(config.inner_lr), device=value.device).requires_grad_(
                config.learn_inner_lr
            )
            for name, value in self.parameters.items()
        }
        learnt = [*self.parameters.values()]
        if config.learn_inner_lr and config.algorithm != "reptile":
            learnt += self.log_step_sizes.values()
        self._learnt = learnt
        self.optimiser = torch.optim.Adam(learnt, lr=config.outer_lr, betas=(0.5, 0.99))

    def initial_policy(self, n_tasks: int) -> dict[str, Tensor]:
        detached = {name: value.detach() for name, value in self.parameters.items()}
        return expand_over_tasks(detached, n_tasks)

    def adapt(self, mixture: Mixture, n_tasks: int) -> Adapted:
        return self.inner_loop(mixture.data, n_tasks)

    def update(self, experience: Experience, stream: torch.Generator) -> dict[str, float]:
        return self.outer_loop(experience.adapted, policy_rows(experience.query, self.config))

    def inner_loop(self, mixed: MixedData, n_tasks: int) -> Adapted:
        """Take `inner_steps` steps per task, each on what `mixed` draws under the policy so far."""
        parameters = self.initial_policy(n_tasks)
        step_sizes = {name: value.detach() for name, value in self._step_sizes().items()}
        drawn = []
        for _ in range(self.config.inner_steps):
            rows = mixed.draw(parameters)
            gradient = policy_gradient(self.policy, parameters, rows, self.config.inner_clip)
            parameters = inner_step(parameters, gradient, step_sizes)
            drawn.append(rows)
        return Adapted(parameters=parameters, drawn=tuple(drawn))

    def outer_loop(self, adapted: Adapted, query: PolicyRows) -> dict[str, float]:
        """Move the initial parameters so that adapting from them does better on `query`."""
        if self.config.algorithm == "reptile":
            return self._interpolate(adapted, query)
        losses = []
        norm = torch.zeros(())
        for _ in range(self.config.outer_epochs):
            loss = self.outer_loss(adapted.drawn, query)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(self._learnt, self.config.max_grad_norm)
            self.optimiser.step()
            losses.append(loss.detach())
        return {
            "outer_loss": float(losses[-1]),
            "outer_gain": float(losses[0] - losses[-1]),
            "meta_gradient_norm": float(norm),
        }

    def outer_loss(self, drawn: tuple[MixedRows, ...], query: PolicyRows) -> Tensor:
        """The clipped surrogate of the re-adapted policies on `query`, mean over tasks.

        Differentiable in the initial parameters through every inner step (MAML), or as if the
        inner gradients were constants (FOMAML).
        """
        n_tasks = query.advantages.shape[0]
        parameters = expand_over_tasks(self.parameters, n_tasks)
        step_sizes = self._step_sizes()
        for rows in drawn:
            gradient = policy_gradient(self.policy, parameters, rows, self.config.inner_clip)
            if self.config.algorithm == "fomaml":
                gradient = {name: value.detach() for name, value in gradient.items()}
            parameters = inner_step(parameters, gradient, step_sizes)
        loss = surrogate_loss(self.policy, parameters, query, self.config.outer_clip).mean()
        if self.config.entropy_bonus:
            entropy = self.policy.entropy(parameters, query.observations)
            loss = loss - self.config.entropy_bonus * (entropy * query.weights).sum(-1).mean()
        return loss

    def tensors(self) -> dict[str, Tensor]:
        return {
            **{f"parameters.{name}": value.detach() for name, value in self.parameters.items()},
            **{f"log_step_sizes.{name}": v.detach() for name, v in self.log_step_sizes.items()},
            **{f"optimiser.{name}": v for name, v in optimiser_tensors(self.optimiser).items()},
        }

    @torch.no_grad()
    def restore(self, tensors: Parameters) -> None:
        for prefix, owned in (
            ("parameters.", self.parameters),
            ("log_step_sizes.", self.log_step_sizes),
        ):
            for name, value in owned.items():
                value.copy_(tensors[prefix + name])
        restore_optimiser(self.optimiser, with_prefix(tensors, "optimiser."))

    def _interpolate(self, adapted: Adapted, query: PolicyRows) -> dict[str, float]:
        """Reptile: go part of the way to where the tasks ended, after a step on the query too."""
        rows = MixedRows(real=query)
        gradient = policy_gradient(self.policy, adapted.parameters, rows, self.config.inner_clip)
        with torch.no_grad():
            ends = inner_step(adapted.parameters, gradient, self._step_sizes())
            for name, value in self.parameters.items():
                value.lerp_(ends[name].mean(0), self.config.reptile_step)
        loss = surrogate_loss(self.policy, ends, query, self.config.outer_clip).mean()
        return {"outer_loss": float(loss)}

    def _step_sizes(self) -> dict[str, Tensor]:
        return {name: value.exp() for name, value in self.log_step_sizes.items()}
