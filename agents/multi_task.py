"""One policy for all tasks, and its fine-tuning to each of them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters, expand_over_tasks
from metarl_gan.agents.optimisers import optimiser_tensors, restore_optimiser
from metarl_gan.agents.policies import Policy
from metarl_gan.agents.policy_gradient import (
    MixedRows,
    PolicyRows,
    inner_step,
    policy_gradient,
    surrogate_loss,
)


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """Gradient descent on the clipped surrogate of a task's own episodes.

    Args:
        step_size: of every step, for every parameter.
        n_steps: steps; none leaves a policy as it is.
        clip: of the importance ratio.
    """

    step_size: float
    n_steps: int
    clip: float

    def apply(self, policy: Policy, parameters: Parameters, rows: PolicyRows) -> dict[str, Tensor]:
        """The parameters `[tasks, ...]` after the steps, all tasks at once."""
        tuned, data = dict(parameters), MixedRows(real=rows)
        sizes = {name: torch.tensor(self.step_size, device=v.device) for name, v in tuned.items()}
        for _ in range(self.n_steps):
            gradient = policy_gradient(policy, tuned, data, self.clip)
            tuned = inner_step(tuned, gradient, sizes)
        return tuned


class MultiTaskLearner:
    """PPO (Schulman et al. 2017) of one policy on the episodes of many tasks, equally weighted.

    Values are fitted to each task's own episodes, as in the inner loop of a meta-learner, so that
    a policy that cannot tell tasks apart has a baseline that can.

    Args:
        policy: Acts.
        generator: Draws the initial parameters.
        learning_rate: Of Adam.
        epochs: Gradient steps on each batch.
        clip: Of the importance ratio.
        max_grad_norm: Longer gradients are scaled down to it.
        entropy_bonus: Weight of the policy's entropy.
    """

    def __init__(
        self,
        policy: Policy,
        generator: torch.Generator,
        *,
        learning_rate: float,
        epochs: int,
        clip: float,
        max_grad_norm: float,
        entropy_bonus: float = 0.0,
    ) -> None:
        self.policy = policy
        self.parameters = {
            name: value.requires_grad_(True)
            for name, value in policy.initial_parameters(generator).items()
        }
        self._optimiser = torch.optim.Adam(self.parameters.values(), lr=learning_rate)
        self._learning_rate = learning_rate
        self._epochs, self._clip, self._max_grad_norm = epochs, clip, max_grad_norm
        self._entropy_bonus = entropy_bonus

    def for_tasks(self, n_tasks: int) -> dict[str, Tensor]:
        """The one policy's parameters for each of the tasks, `[tasks, ...]`, without gradient."""
        detached = {name: value.detach() for name, value in self.parameters.items()}
        return expand_over_tasks(detached, n_tasks)

    def update(self, rows: PolicyRows, *, remaining: float = 1.0) -> float:
        """Learn from rows `[tasks, rows]` of the policy as it is; the last loss.

        `remaining`, the share of training that lies ahead, scales the learning rate.
        """
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning_rate * remaining
        loss = torch.zeros(())
        for _ in range(self._epochs):
            parameters = expand_over_tasks(self.parameters, len(rows.advantages))
            loss = surrogate_loss(self.policy, parameters, rows, self._clip).mean()
            if self._entropy_bonus:
                entropy = self.policy.entropy(parameters, rows.observations)
                loss = loss - self._entropy_bonus * (entropy * rows.weights).sum(-1).mean()
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters.values(), self._max_grad_norm)
            self._optimiser.step()
        return float(loss.detach())

    def tensors(self) -> dict[str, Tensor]:
        """A copy of the parameters."""
        return {name: value.detach().clone() for name, value in self.parameters.items()}

    def optimiser_tensors(self) -> dict[str, Tensor]:
        """A copy of the optimiser's state."""
        return {name: v.clone() for name, v in optimiser_tensors(self._optimiser).items()}

    def restore_optimiser(self, tensors: Parameters) -> None:
        """Inverse of `optimiser_tensors`."""
        restore_optimiser(self._optimiser, tensors)

    @torch.no_grad()
    def restore(self, tensors: Parameters) -> None:
        """Inverse of `tensors`."""
        for name, value in self.parameters.items():
            value.copy_(tensors[name])
