"""The inner learner: policy-gradient steps on the data of one task, for all tasks at once."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor

from metarl_gan.agents.baseline import fit_linear_values
from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.policies import Policy
from metarl_gan.agents.returns import generalised_advantages, normalise_over_rows
from metarl_gan.agents.written_out import RowLoss, has_written_out, log_probs, loss_gradient
from metarl_gan.envs.transitions import Transitions

Estimator = Literal["low_variance", "dice", "naive"]
"""Objectives of one gradient and different curvatures: see `policy_loss`."""
Derivation = Literal["written_out", "autograd", "transforms"]
"""Who differentiates: what a policy says of itself, where it does (`low_variance` only, and once
more); autograd, as often as one likes; or `torch.func`, for callers that transform the result."""

REWARD_RESOLUTION = 1e-5
"""Rewards that differ by less than this share of the largest are taken as one."""


@dataclass(frozen=True, kw_only=True)
class PolicyRows:
    """What a policy-gradient step needs, flattened to `[tasks, rows]`.

    `weights` sum to 1 over the valid rows of a task and are 0 on the others. Every
    `episode_steps` rows are one episode, in the order of time; it may end before the last.
    """

    observations: Tensor
    actions: Tensor
    log_probs: Tensor
    advantages: Tensor
    weights: Tensor
    episode_steps: int

    @classmethod
    def from_transitions(
        cls, batch: Transitions, *, discount: float, gae_lambda: float, normalise: bool = True
    ) -> Self:
        """Fit values to the batch, estimate advantages, flatten episodes to rows.

        A task of which no episode terminated and every reward is the same has no advantages:
        what is left of the fit there is rounding, and normalising would make a gradient of it.
        """
        values, next_values = fit_linear_values(batch, discount=discount)
        advantages = generalised_advantages(
            batch.rewards,
            values,
            next_values,
            batch.terminated,
            batch.valid,
            discount=discount,
            gae_lambda=gae_lambda,
        ).flatten(1)
        advantages = advantages.masked_fill(~_tells_actions_apart(batch).unsqueeze(-1), 0.0)
        valid = batch.valid.flatten(1)
        weights = valid.to(advantages.dtype)
        return cls(
            observations=batch.observations.flatten(1, 2),
            actions=batch.actions.flatten(1, 2),
            log_probs=batch.log_probs.flatten(1),
            advantages=normalise_over_rows(advantages, valid) if normalise else advantages,
            weights=weights / weights.sum(-1, keepdim=True).clamp(min=1.0),
            episode_steps=batch.rewards.shape[-1],
        )

    def select(self, tasks: Tensor | slice) -> Self:
        """The rows of some tasks, given by index."""
        return self._map(lambda value: value[tasks])

    def first_episodes(self, share: float) -> Self:
        """A share of the episodes of every task, at least one; weights sum to 1 again."""
        n_episodes = self.advantages.shape[-1] // self.episode_steps
        n_rows = max(1, round(share * n_episodes)) * self.episode_steps
        part = self._map(lambda value: value[:, :n_rows])
        total = part.weights.sum(-1, keepdim=True).clamp(min=1e-6)
        return replace(part, weights=part.weights / total)

    def blank(self, tasks: Tensor) -> Self:
        """Zeros for the tasks of a mask `[tasks]`: a NaN that counts for nothing is still one."""

        def without(value: Tensor) -> Tensor:
            if not value.is_floating_point():
                return value  # an action by its number
            return value.masked_fill(tasks.view(-1, *[1] * (value.ndim - 1)), 0.0)

        return self._map(without)

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        changed = {name: change(v) for name, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **changed)


def _tells_actions_apart(batch: Transitions) -> Tensor:
    """Bool `[tasks]`: whether anything says that one action was better than another."""
    rewards, invalid = batch.rewards.flatten(1), ~batch.valid.flatten(1)
    least = rewards.masked_fill(invalid, torch.inf).amin(-1)
    most = rewards.masked_fill(invalid, -torch.inf).amax(-1)
    spread = REWARD_RESOLUTION * torch.maximum(least.abs(), most.abs())
    return (most - least > spread) | batch.terminated.flatten(1).any(-1)


@dataclass(frozen=True, kw_only=True)
class MixedRows:
    """The data of one inner step: real rows, and generated rows with their share per task.

    The two parts are kept apart, so that a share of 0 gives exactly the loss of the real
    rows alone: no rounding of generated rows enters it.
    """

    real: PolicyRows
    generated: PolicyRows | None = None
    share: Tensor | None = None

    def select(self, tasks: Tensor | slice) -> Self:
        """The rows of some tasks, given by index."""
        return type(self)(
            real=self.real.select(tasks),
            generated=None if self.generated is None else self.generated.select(tasks),
            share=None if self.share is None else self.share[tasks],
        )

    def first_episodes(self, share: float) -> Self:
        """A share of the real and of the generated episodes."""
        generated = None if self.generated is None else self.generated.first_episodes(share)
        return replace(self, real=self.real.first_episodes(share), generated=generated)


def surrogate_loss(policy: Policy, parameters: Parameters, rows: PolicyRows, clip: float) -> Tensor:
    """Clipped importance-weighted objective, negated, per task `[tasks]` (Schulman et al. 2017).

    At the behaviour policy the ratio is 1 and its gradient is the policy gradient; its
    curvature is that of the low-variance estimator of ProMP (Rothfuss et al. 2019, section 5).
    """
    return surrogate_of(log_probs_of(policy, parameters, rows, "autograd"), rows, clip)


def log_probs_of(
    policy: Policy, parameters: Parameters, rows: PolicyRows, by: Derivation = "written_out"
) -> Tensor:
    """The policy's log-probabilities of what the rows did, `[tasks, rows]`."""
    if by == "written_out" and has_written_out(policy):
        return log_probs(policy, parameters, rows.observations, rows.actions)
    return policy.log_probs(parameters, rows.observations, rows.actions)


def surrogate_of(log_probs: Tensor, rows: PolicyRows, clip: float) -> Tensor:
    """`surrogate_loss` of the log-probabilities that a policy has."""
    ratio = torch.exp((log_probs - rows.log_probs).clamp(max=10.0))
    weighted = rows.advantages * rows.weights
    gain = ratio * weighted
    if clip < math.inf:
        # min(ratio * a, clipped ratio * a), which is min(ratio * a, a + clip * |a|) in fewer steps
        gain = gain.clamp(max=torch.add(weighted, weighted.abs(), alpha=clip))
    return -gain.sum(-1)


def policy_loss(
    policy: Policy, parameters: Parameters, rows: PolicyRows, clip: float, estimator: Estimator
) -> Tensor:
    """What an inner step descends, negated gain per task `[tasks]`.

    At the behaviour policy all have the policy gradient as theirs; their curvature, which a
    second-order outer loop meets, is an estimate of that of the expected return:

    - `low_variance`: the surrogate's ratio of each step by itself. Exact for episodes of one
      step; for longer ones it leaves out how later advantages change with the policy, which is
      most of the variance (LVC; Rothfuss et al. 2019, section 5).
    - `dice`: the ratio of all that was done up to a step, less that up to the one before: without
      bias, at more variance (DiCE, Foerster et al. 2018; with advantages, Farquhar et al. 2019).
      A prefix whose ratio exceeds `1 + clip` is held there.
    - `naive`: log-probability times advantage, differentiated twice. It lacks the outer product
      of the scores, and so is biased even for one step: for comparison.
    """
    if estimator == "low_variance":
        return surrogate_loss(policy, parameters, rows, clip)
    log_probs = policy.log_probs(parameters, rows.observations, rows.actions)
    if estimator == "naive":
        gain = log_probs
    else:
        log_ratios = (log_probs - rows.log_probs).unflatten(-1, (-1, rows.episode_steps))
        until = log_ratios.cumsum(-1).clamp(-10.0, min(10.0, math.log1p(clip))).exp()
        before = torch.cat([torch.ones_like(until[..., :1]), until[..., :-1]], dim=-1)
        gain = (until - before).flatten(-2)
    return -(gain * rows.advantages * rows.weights).sum(-1)


def mixed_loss(
    policy: Policy,
    parameters: Parameters,
    rows: MixedRows,
    clip: float,
    estimator: Estimator = "low_variance",
) -> Tensor:
    """`(1 - share) * real + share * generated` per task, `[tasks]`."""
    real = policy_loss(policy, parameters, rows.real, clip, estimator)
    if rows.generated is None or rows.share is None:
        return real
    generated = policy_loss(policy, parameters, rows.generated, clip, estimator)
    return (1.0 - rows.share) * real + rows.share * generated


def policy_gradient(
    policy: Policy,
    parameters: Parameters,
    rows: MixedRows,
    clip: float,
    estimator: Estimator = "low_variance",
    *,
    by: Derivation = "written_out",
) -> dict[str, Tensor]:
    """Gradient of each task's loss with respect to that task's parameters, `[tasks, ...]`.

    It has a graph where `parameters` have one and autograd is enabled.
    """
    if by == "written_out" and estimator == "low_variance" and has_written_out(policy):
        return _written_out_gradient(policy, parameters, rows, clip)

    # Tasks share nothing, so the gradient of the sum is the gradient of each.
    def total(task_parameters: Parameters) -> Tensor:
        return mixed_loss(policy, task_parameters, rows, clip, estimator).sum()

    if by == "transforms":
        return torch.func.grad(total)(dict(parameters))
    followed = torch.is_grad_enabled() and any(v.requires_grad for v in parameters.values())
    with torch.enable_grad():
        own = {
            name: value if followed and value.requires_grad else value.detach().requires_grad_()
            for name, value in parameters.items()
        }
        found = torch.autograd.grad(
            total(own), list(own.values()), create_graph=followed, materialize_grads=True
        )
    return dict(zip(own, found, strict=True))


def _written_out_gradient(
    policy: Policy, parameters: Parameters, rows: MixedRows, clip: float
) -> dict[str, Tensor]:
    def gradient(part: PolicyRows) -> dict[str, Tensor]:
        return loss_gradient(
            policy, parameters, part.observations, part.actions, _surrogate_derivatives(part, clip)
        )

    real = gradient(rows.real)
    if rows.generated is None or rows.share is None:
        return real
    generated, mixed = gradient(rows.generated), {}
    for name, value in real.items():
        share = rows.share.view(-1, *[1] * (value.ndim - 1))
        mixed[name] = (1.0 - share) * value + share * generated[name]
    return mixed


def _surrogate_derivatives(rows: PolicyRows, clip: float) -> RowLoss:
    """Those of `surrogate_loss`: where the gain is not held, both are the gain itself."""

    def derivatives(log_probs: Tensor) -> tuple[Tensor, Tensor]:
        log_ratio = log_probs - rows.log_probs
        weighted = rows.advantages * rows.weights
        gain = torch.exp(log_ratio.clamp(max=10.0)).mul_(weighted)
        follows = log_ratio <= 10.0
        if clip < math.inf:
            follows &= gain <= torch.add(weighted, weighted.abs(), alpha=clip)
        loss = gain.mul_(follows).neg_()
        return loss, loss

    return derivatives


def inner_step(
    parameters: Parameters, gradient: Parameters, step_sizes: Parameters
) -> dict[str, Tensor]:
    """One step of gradient descent per task: `parameters - step_sizes * gradient`."""
    return {
        name: torch.addcmul(value, step_sizes[name], gradient[name], value=-1.0)
        for name, value in parameters.items()
    }
