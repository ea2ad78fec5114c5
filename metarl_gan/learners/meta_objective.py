"""What an outer update learns from: functions of the learnt tensors, on one meta-batch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters, expand_over_tasks
from metarl_gan.agents.optimisers import with_prefix
from metarl_gan.agents.policies import Policy
from metarl_gan.agents.policy_gradient import MixedRows, PolicyRows, log_probs_of, surrogate_of
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

    def transformable(self) -> "MetaObjective":
        """The same for transforms of `torch.func`, at some cost."""
        return replace(self, loop=replace(self.loop, by="transforms"))

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
        adapted, query = self.adapted(learnt, tasks), self._query(tasks)
        log_probs = self._log_probs(adapted, query)
        loss = self._loss(log_probs, adapted, query, self.config.outer_clip)
        if kl_weight:
            loss = loss + kl_weight * self._divergence(learnt, log_probs, tasks)
        return loss

    def loss_of_adapted(self, adapted: Parameters, clip: float) -> Tensor:
        """`loss` of policies that adapted already; a `clip` that is infinite is none."""
        return self._loss(self._log_probs(adapted, self.query), adapted, self.query, clip)

    def divergence_of_adapted(self, adapted: Parameters) -> Tensor:
        """Divergence of adapted policies from those that played the query, in nats."""
        log_probs = self._log_probs(adapted, self.query)
        return divergence(log_probs, self.query).sum() / self.n_tasks

    def divergence(self, learnt: Parameters) -> Tensor:
        """How far the policies are from those whose episodes are learnt from, in nats.

        The mean of two: the initial policies' on the support (as in ProMP, Rothfuss et al. 2019),
        and the adapted ones' on the query.
        """
        log_probs = self._log_probs(self.adapted(learnt), self.query)
        return self._divergence(learnt, log_probs, ALL)

    def _loss(
        self, log_probs: Tensor, adapted: Parameters, query: PolicyRows, clip: float
    ) -> Tensor:
        loss = surrogate_of(log_probs, query, clip)
        if self.config.entropy_bonus:
            entropy = self.loop.policy.entropy(adapted, query.observations)
            loss = loss - self.config.entropy_bonus * (entropy * query.weights).sum(-1)
        return loss.sum() / self.n_tasks

    def _divergence(self, learnt: Parameters, log_probs: Tensor, tasks: slice) -> Tensor:
        after = divergence(log_probs, self._query(tasks))
        support = self.drawn[0].real if tasks == ALL else self.drawn[0].real.select(tasks)
        initial = expand_over_tasks(with_prefix(learnt, PARAMETERS), len(support.advantages))
        before = divergence(self._log_probs(initial, support), support)
        return (after + before).sum() / (2.0 * self.n_tasks)

    def _log_probs(self, parameters: Parameters, rows: PolicyRows) -> Tensor:
        return log_probs_of(self.loop.policy, parameters, rows, self.loop.by)

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


def divergence(log_probs: Tensor, rows: PolicyRows) -> Tensor:
    """KL divergence of policies from those that sampled `rows`, per task `[tasks]`, in nats.

    `log_probs [tasks, rows]` are theirs of what the rows did.

    Estimated on the sampled actions as the mean of `r - 1 - log r`, `r` the ratio of new to old
    probability (Schulman 2020, "Approximating KL divergence", k3): unbiased, never negative, and
    its curvature at the old policy is the Fisher matrix of the samples. It takes nothing of a
    policy but its log-probabilities, whatever its actions are.
    """
    log_ratio = (log_probs - rows.log_probs).clamp(-10.0, 10.0)
    return ((torch.expm1(log_ratio) - log_ratio) * rows.weights).sum(-1)
