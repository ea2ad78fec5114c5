"""What an outer update learns from: functions of the learnt tensors, on one meta-batch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters, expand_over_tasks
from metarl_gan.agents.optimisers import with_prefix
from metarl_gan.agents.policies import Policy
from metarl_gan.agents.policy_gradient import MixedRows, PolicyRows, surrogate_loss
from metarl_gan.config import LearnerConfig
from metarl_gan.learners.execution import ALL, Size
from metarl_gan.learners.inner_loop import InnerLoop, step_sizes_of

PARAMETERS, STEP_SIZES = "parameters.", "step_sizes."
"""Prefixes of the learnt tensors: of the initial policy, and of the inner step sizes."""


@final
@dataclass(frozen=True, kw_only=True)
class MetaObjective:
    """A meta-batch as a function of `learnt`: the initial parameters and inner step sizes.

    `learnt` has no task axis. `tasks` picks some of the batch; what is returned for them is their
    part of the mean over all tasks, so that parts add up to the whole.

    Args:
        loop: The inner loop.
        config: Its settings, and those of the outer objective.
        drawn: What each inner step was taken on.
        query: Episodes of the adapted policies.
    """

    loop: InnerLoop
    config: LearnerConfig
    drawn: Sequence[MixedRows]
    query: PolicyRows

    @property
    def n_tasks(self) -> int:
        """Tasks of the batch."""
        return self.query.advantages.shape[0]

    @property
    def size(self) -> Size:
        """How much there is to compute."""
        return size_of(self.loop.policy, [*self.drawn, MixedRows(real=self.query)])

    def first_episodes(self, share: float) -> "MetaObjective":
        """The same of a share of the episodes, inner loop and query alike."""
        drawn = [rows.first_episodes(share) for rows in self.drawn]
        return replace(self, drawn=drawn, query=self.query.first_episodes(share))

    @torch.no_grad()
    def played_by(self, parameters: Parameters) -> "MetaObjective":
        """The same as if policies of `parameters [tasks, ...]` had played the query."""
        rows = self.query
        log_probs = self.loop.policy.log_probs(parameters, rows.observations, rows.actions)
        return replace(self, query=replace(rows, log_probs=log_probs))

    def adapted(self, learnt: Parameters, tasks: slice = ALL) -> dict[str, Tensor]:
        """Parameters `[tasks, ...]` after the inner loop, differentiable in `learnt`."""
        n_tasks = len(range(self.n_tasks)[tasks])
        initial = expand_over_tasks(with_prefix(learnt, PARAMETERS), n_tasks)
        step_sizes = step_sizes_of(self.config, with_prefix(learnt, STEP_SIZES))
        drawn = self.drawn if tasks == ALL else [rows.select(tasks) for rows in self.drawn]
        return self.loop.through(initial, step_sizes, drawn)

    def loss(self, learnt: Parameters, tasks: slice = ALL, kl_weight: float = 0.0) -> Tensor:
        """The clipped surrogate of the re-adapted policies on the query, less the entropy bonus.

        Differentiable in `learnt` through every inner step (MAML), or as if the inner gradients
        were constants (FOMAML). With a `kl_weight`, that times `divergence` is added.
        """
        adapted = self.adapted(learnt, tasks)
        loss = self.loss_of_adapted(adapted, self.config.outer_clip, tasks)
        if kl_weight:
            loss = loss + kl_weight * self._divergence(learnt, adapted, tasks)
        return loss

    def loss_of_adapted(self, adapted: Parameters, clip: float, tasks: slice = ALL) -> Tensor:
        """`loss` of policies that adapted already; a `clip` that is infinite is none."""
        policy, rows = self.loop.policy, self._query(tasks)
        loss = surrogate_loss(policy, adapted, rows, clip)
        if self.config.entropy_bonus:
            entropy = policy.entropy(adapted, rows.observations)
            loss = loss - self.config.entropy_bonus * (entropy * rows.weights).sum(-1)
        return loss.sum() / self.n_tasks

    def divergence_of_adapted(self, adapted: Parameters, tasks: slice = ALL) -> Tensor:
        """Divergence of adapted policies from those that played the query, in nats."""
        return divergence(self.loop.policy, adapted, self._query(tasks)).sum() / self.n_tasks

    def divergence(self, learnt: Parameters, tasks: slice = ALL) -> Tensor:
        """How far the policies are from those whose episodes are learnt from, in nats.

        The mean of two: the initial policies' on the support (as in ProMP, Rothfuss et al. 2019),
        and the adapted ones' on the query.
        """
        return self._divergence(learnt, self.adapted(learnt, tasks), tasks)

    def _divergence(self, learnt: Parameters, adapted: Parameters, tasks: slice) -> Tensor:
        after = self.divergence_of_adapted(adapted, tasks)
        support = self.drawn[0].real if tasks == ALL else self.drawn[0].real.select(tasks)
        initial = expand_over_tasks(with_prefix(learnt, PARAMETERS), len(support.advantages))
        before = divergence(self.loop.policy, initial, support).sum() / self.n_tasks
        return (after + before) / 2.0

    def _query(self, tasks: slice) -> PolicyRows:
        return self.query if tasks == ALL else self.query.select(tasks)


def size_of(policy: Policy, batches: Sequence[MixedRows]) -> Size:
    """How much there is to compute on rows that are gone through one batch after the other."""
    parts = [part for rows in batches for part in (rows.real, rows.generated) if part is not None]
    return Size(
        n_tasks=len(parts[0].advantages),
        n_rows=max(part.advantages.shape[1] for part in parts),
        width=max((policy.n_inputs, *policy.hidden_sizes)),
    )


def divergence(policy: Policy, parameters: Parameters, rows: PolicyRows) -> Tensor:
    """KL divergence of policies from those that sampled `rows`, per task `[tasks]`, in nats.

    Estimated on the sampled actions as the mean of `r - 1 - log r`, `r` the ratio of new to old
    probability (Schulman 2020, "Approximating KL divergence", k3): unbiased, never negative, and
    its curvature at the old policy is the Fisher matrix of the samples. It takes nothing of a
    policy but its log-probabilities, whatever its actions are.
    """
    log_probs = policy.log_probs(parameters, rows.observations, rows.actions)
    log_ratio = (log_probs - rows.log_probs).clamp(-10.0, 10.0)
    return ((torch.expm1(log_ratio) - log_ratio) * rows.weights).sum(-1)
