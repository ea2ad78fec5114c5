"""The energy score: what draws cost that should be distributed as the outcome is."""

from torch import Tensor

SOFTNESS = 0.1
"""Distances below this, in standard deviations, count by their square."""


def energy_score(draws: Tensor, outcome: Tensor) -> Tensor:
    """How far `draws [batch, draws, rows, size]` are off `outcome [batch, rows, size]`, by row.

    Mean distance between draw and outcome, less half of that between two draws (Gneiting & Raftery
    2007, eq. 22): least in the mean, over outcomes, for draws from the outcomes' own distribution,
    so that neither their mean nor one of several outcomes alone will do. The distance
    `sqrt(|x - y|² + c²) - c` is of negative type, as `|x - y|` is, which is all that takes; it
    gives draws at their place no gradient. Two draws at least.
    """
    n_draws = draws.shape[1]
    apart = distance(draws.unsqueeze(1), draws.unsqueeze(2)).sum((1, 2))
    spread = apart / (n_draws * (n_draws - 1))
    return distance(draws, outcome.unsqueeze(1)).mean(1) - 0.5 * spread


def distance(left: Tensor, right: Tensor) -> Tensor:
    """Between points `[..., size]`, of negative type and smooth where they meet: `[...]`."""
    return ((left - right).square().sum(-1) + SOFTNESS**2).sqrt() - SOFTNESS
