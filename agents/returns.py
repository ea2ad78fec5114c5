"""Returns and advantages over `[..., time]` arrays in which each row of time is one episode."""

import torch
from torch import Tensor


def discounted_returns(
    rewards: Tensor, valid: Tensor, discount: float, final_values: Tensor | None = None
) -> Tensor:
    """Discounted sum of what follows each step: `G_t = r_t + discount * G_{t+1}`.

    `valid [..., time]` is a prefix of True for each episode; `final_values [...]` is what is
    worth after the last valid step (0 by default, as after a termination).
    """
    following = torch.zeros_like(rewards[..., 0]) if final_values is None else final_values
    returns = torch.zeros_like(rewards)
    for time in reversed(range(rewards.shape[-1])):
        here = rewards[..., time] + discount * following
        following = torch.where(valid[..., time], here, following)
        returns[..., time] = torch.where(valid[..., time], here, torch.zeros_like(here))
    return returns


def generalised_advantages(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    valid: Tensor,
    *,
    discount: float,
    gae_lambda: float,
) -> Tensor:
    """Generalised advantage estimation (Schulman et al. 2016, equation 16), `[..., time]`.

    `next_values` are the values of the observations reached. A terminated step bootstraps
    nothing; every other last step, truncated or cut off, bootstraps the value of the final
    observation. Rows where `valid` is False get 0 and pass nothing on.
    """
    continues = (~terminated).to(rewards.dtype)
    deltas = rewards + discount * continues * next_values - values
    decay = discount * gae_lambda
    advantage = torch.zeros_like(rewards[..., 0])
    advantages = torch.zeros_like(rewards)
    for time in reversed(range(rewards.shape[-1])):
        here = deltas[..., time] + decay * continues[..., time] * advantage
        advantage = torch.where(valid[..., time], here, torch.zeros_like(here))
        advantages[..., time] = advantage
    return advantages


def normalise_over_rows(values: Tensor, valid: Tensor) -> Tensor:
    """Zero mean and unit variance per task over its valid rows: both arguments `[tasks, rows]`.

    Invalid rows become 0. A task with no spread keeps zeros rather than amplified noise.
    """
    weight = valid.to(values.dtype)
    count = weight.sum(-1, keepdim=True).clamp(min=1.0)
    mean = (values * weight).sum(-1, keepdim=True) / count
    centred = (values - mean) * weight
    std = (centred.square().sum(-1, keepdim=True) / count).sqrt()
    return centred / (std + 1e-6)
