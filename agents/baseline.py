"""A value function per task, fitted in closed form to that task's own episodes."""

import torch
from torch import Tensor

from metarl_gan.envs.transitions import Transitions


def fit_linear_values(
    batch: Transitions, *, discount: float, trace: float = 0.95, ridge: float = 1e-3
) -> tuple[Tensor, Tensor]:
    """Values of `batch.observations` and `batch.next_observations`, each `[tasks, envs, time]`.

    Least-squares temporal differences with eligibility traces, LSTD(trace) (Boyan 2002,
    equation 6), on quadratic features: one small linear system per task, all solved at once.
    A regression on the returns of episodes that a time limit cuts would make late states look
    good, because little is left to be lost there; here a truncation simply is no evidence.
    """
    weight = batch.valid.to(batch.rewards.dtype).unsqueeze(-1)
    now, following = _feature_pair(batch, weight)
    continues = (~batch.terminated).to(now.dtype).unsqueeze(-1)
    traces = _eligibility(now * weight, discount * trace)
    difference = now - discount * continues * following
    # [tasks, features, features] and [tasks, features, 1], sums over all valid rows of a task.
    evidence = (traces * weight).flatten(1, 2).mT
    system = evidence @ difference.flatten(1, 2)
    right = evidence @ batch.rewards.flatten(1).unsqueeze(-1)
    count = weight.flatten(1).sum(-1).clamp(min=1.0)
    penalty = torch.full((now.shape[-1],), ridge, dtype=now.dtype, device=now.device)
    # What all rewards share is worth the same everywhere. Shrinking it by as much as the slopes
    # would leave a remainder that a drifting state explains: a constant reward gets a slope.
    penalty[0] *= 0.01
    solution = torch.linalg.solve(system + count.view(-1, 1, 1) * penalty.diag(), right)
    per_row = solution.squeeze(-1)[:, None, None, :]
    return (now * per_row).sum(-1), (following * per_row).sum(-1)


def _feature_pair(batch: Transitions, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Features of observations and next observations, scaled by the task's own spread."""
    now, following = batch.observations, batch.next_observations
    count = weight.sum((1, 2), keepdim=True).clamp(min=1.0)
    mean = (now * weight).sum((1, 2), keepdim=True) / count
    variance = ((now - mean).square() * weight).sum((1, 2), keepdim=True) / count
    scale = variance.sqrt().clamp(min=1e-3)
    return _features((now - mean) / scale), _features((following - mean) / scale)


def _features(standardised: Tensor) -> Tensor:
    bounded = standardised.clamp(-5.0, 5.0)
    return torch.cat([torch.ones_like(bounded[..., :1]), bounded, bounded.square()], dim=-1)


def _eligibility(features: Tensor, decay: float) -> Tensor:
    """Discounted sums of past features along time: `z_t = decay * z_{t-1} + features_t`."""
    trace = torch.zeros_like(features[:, :, 0])
    traces = []
    for time in range(features.shape[2]):
        trace = decay * trace + features[:, :, time]
        traces.append(trace)
    return torch.stack(traces, dim=2)
