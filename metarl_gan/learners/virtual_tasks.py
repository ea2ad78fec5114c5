"""Tasks that nobody played: mixtures of what was inferred of several, and a little beyond.

The idea of TAVT (Lee et al., ICML 2025), on contexts: what is learnt from real tasks alone may
know nothing of those between and around them; the generator says what would happen there.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from metarl_gan.envs.transitions import Transitions
from metarl_gan.gan import TaskContext

PARENTS = 3
"""Real tasks that a virtual one is mixed of."""
STRETCH = 2.0
"""How far a mixture is moved from the middle of its parents: 1 stays between them."""


def with_virtual_tasks(
    contexts: Sequence[TaskContext], stored: Transitions, n_virtual: int, stream: torch.Generator
) -> tuple[list[TaskContext], Transitions]:
    """`contexts` of real tasks and `stored [tasks, ...]`, with virtual tasks after the real ones.

    A virtual task has the same parents and shares in all contexts, and the transitions of the
    parent that it has most of: where to start from, as it has been nowhere itself. Encodings stay
    within the encoder's range. Contexts must not have weights of their own.
    """
    n_tasks, device = stored.n_tasks, stored.rewards.device
    chances = torch.ones(n_virtual, n_tasks, device=device)
    parents = chances.multinomial(PARENTS, replacement=n_tasks < PARENTS, generator=stream)
    shares = stretched_shares(n_virtual, stream)
    nearest = parents.gather(1, shares.argmax(1, keepdim=True)).squeeze(1)
    sources = torch.cat([torch.arange(n_tasks, device=device), nearest])
    mixed = [_mixed(context.encoding, parents, shares) for context in contexts]
    joined = [
        replace(
            context,
            encoding=torch.cat([context.encoding, virtual]),
            errors=context.errors.select(sources),
        )
        for context, virtual in zip(contexts, mixed, strict=True)
    ]
    return joined, stored.select(sources)


def stretched_shares(n_virtual: int, stream: torch.Generator) -> Tensor:
    """Shares `[n_virtual, PARENTS]` that sum to 1: uniform ones, stretched from their middle."""
    drawn = torch.empty(n_virtual, PARENTS, device=stream.device).exponential_(generator=stream)
    uniform = drawn / drawn.sum(1, keepdim=True)  # of Dirichlet(1, …, 1)
    return STRETCH * uniform - (STRETCH - 1.0) / PARENTS


def _mixed(encodings: Tensor, parents: Tensor, shares: Tensor) -> Tensor:
    return (shares.unsqueeze(-1) * encodings[parents]).sum(1).clamp(-1.0, 1.0)
