"""A value function per task, fitted in closed form to that task's own episodes."""

import torch
from torch import Tensor

from metarl_gan.agents.returns import discounted_returns
from metarl_gan.envs.transitions import Transitions


def fit_linear_values(
    batch: Transitions, *, discount: float, ridge: float = 1e-3, bootstraps: int = 3
) -> tuple[Tensor, Tensor]:
    """Values of `batch.observations` and `batch.next_observations`, each `[tasks, envs, time]`.

    Ridge regression on quadratic features, one solve for all tasks (the linear baseline of
    Duan et al. 2016, supplement, without its time features: those would make the value at a
    time limit 0 where the episode in truth goes on). Targets are discounted returns; what lies
    beyond a truncation is bootstrapped from the previous of `bootstraps` fits.
    """
    valid = batch.valid
    weight = valid.flatten(1).to(batch.rewards.dtype).unsqueeze(-1)
    now, following = _feature_pair(batch, weight)
    gram = (now * weight).mT @ now
    eye = torch.eye(now.shape[-1], dtype=now.dtype, device=now.device)
    scale = weight.sum(1, keepdim=True).clamp(min=1.0)
    factor = torch.linalg.cholesky(gram + ridge * scale * eye)
    ends_open = _last_valid(valid) & ~batch.terminated
    next_values = torch.zeros_like(batch.rewards)
    values = next_values
    for _ in range(bootstraps):
        final_values = (next_values * ends_open).sum(-1)
        targets = discounted_returns(batch.rewards, valid, discount, final_values)
        right = (now * weight).mT @ targets.flatten(1).unsqueeze(-1)
        weights = torch.cholesky_solve(right, factor)
        values = (now @ weights).reshape(batch.rewards.shape)
        next_values = (following @ weights).reshape(batch.rewards.shape)
    return values, next_values


def _feature_pair(batch: Transitions, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Features of observations and next observations, scaled by the task's own spread."""
    now = batch.observations.flatten(1, 2)
    following = batch.next_observations.flatten(1, 2)
    count = weight.sum(1, keepdim=True).clamp(min=1.0)
    mean = (now * weight).sum(1, keepdim=True) / count
    variance = ((now - mean).square() * weight).sum(1, keepdim=True) / count
    scale = variance.sqrt().clamp(min=1e-3)
    return _features((now - mean) / scale), _features((following - mean) / scale)


def _features(standardised: Tensor) -> Tensor:
    bounded = standardised.clamp(-5.0, 5.0)
    return torch.cat([torch.ones_like(bounded[..., :1]), bounded, bounded.square()], dim=-1)


def _last_valid(valid: Tensor) -> Tensor:
    following = torch.cat([valid[..., 1:], torch.zeros_like(valid[..., :1])], dim=-1)
    return valid & ~following
