"""The way to compute a meta-gradient that libraries of meta-learning took: task after task.

Every task clones the parameters, takes its inner step by `torch.autograd.grad` with its graph, and
adds its outer loss; one backward pass goes through all (learn2learn, Arnold et al. 2020, and others
before). Written with plain operations of torch, one product per layer.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from metarl_gan.agents.policy_gradient import PolicyRows


def sequential_meta_gradient(
    parameters: Mapping[str, Tensor],
    support: PolicyRows,
    query: PolicyRows,
    *,
    inner_lr: float,
    inner_clip: float,
    outer_clip: float,
) -> dict[str, Tensor]:
    """Second-order gradient of the mean over tasks of the loss on `query` after one inner step.

    Of a Gaussian policy with `tanh` layers, without a task axis, as it is initialised; actions are
    taken to be in the scale of the policy's output.
    """
    names, shared = list(parameters), list(parameters.values())
    losses = []
    for task in range(len(support.advantages)):
        own = [value.clone() for value in shared]
        inner = _surrogate(dict(zip(names, own, strict=True)), support, task, inner_clip)
        found = torch.autograd.grad(inner, own, create_graph=True)
        adapted = [value - inner_lr * step for value, step in zip(own, found, strict=True)]
        losses.append(_surrogate(dict(zip(names, adapted, strict=True)), query, task, outer_clip))
    gradient = torch.autograd.grad(torch.stack(losses).mean(), shared)
    return dict(zip(names, gradient, strict=True))


def _surrogate(
    parameters: Mapping[str, Tensor], rows: PolicyRows, task: int, clip: float
) -> Tensor:
    """The clipped surrogate, negated, on the rows of one task, all of which count alike."""
    log_probs = _log_probs(parameters, rows.observations[task], rows.actions[task])
    ratio = torch.exp(log_probs - rows.log_probs[task])
    advantages = rows.advantages[task]
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()


def _log_probs(parameters: Mapping[str, Tensor], observations: Tensor, actions: Tensor) -> Tensor:
    hidden, last = observations, len(parameters) // 2 - 1
    for layer in range(last + 1):
        hidden = torch.addmm(parameters[f"bias_{layer}"], hidden, parameters[f"weight_{layer}"])
        hidden = hidden if layer == last else torch.tanh(hidden)
    log_std = parameters["log_std"]
    noise = (actions - hidden) * torch.exp(-log_std)
    constant = 0.5 * actions.shape[-1] * math.log(2.0 * math.pi)
    return (-0.5 * noise.square() - log_std).sum(-1) - constant
