"""Are two samples from one distribution, and does one cover the other? For all tasks at once."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class EnergyTest:
    """Energy distances `[tasks]` with p-values, and of their mean over tasks, `[]`."""

    distance: Tensor
    p_value: Tensor
    overall_distance: Tensor
    overall_p_value: Tensor


@torch.no_grad()
def energy_test(
    real: Tensor, generated: Tensor, n_permutations: int, stream: torch.Generator
) -> EnergyTest:
    """Test of equal distributions on pairs `real, generated [tasks, rows, size]`.

    The distance is `2 E|x - y| - E|x - x'| - E|y - y'|` (Székely & Rizzo 2013, "Energy
    statistics"), estimated without bias, so that it can be a little negative. Row `i` of both
    samples may share what it is conditioned on, a state and an action: under the hypothesis the
    two may be swapped within a row, which is what the permutations do. Swapping rows `S` turns
    the signs of row and column in the matrix of `|x_i - y_j| + |x_j - y_i| - |x_i - x_j| -
    |y_i - y_j|`, so that all permutations are one quadratic form.

    p-values are exact, at least `1 / (n_permutations + 1)`; with fewer than two rows all is NaN.
    Raises `ValueError` for samples of different shape.
    """
    if real.shape != generated.shape or real.ndim != 3:
        raise ValueError(
            f"real rows {tuple(real.shape)} and generated rows {tuple(generated.shape)} differ; "
            "both must be [tasks, rows, size]"
        )
    n_tasks, n_rows = real.shape[:2]
    pairs = n_rows * (n_rows - 1)
    if pairs == 0:
        unknown = real.new_full((n_tasks,), torch.nan, dtype=torch.float64)
        return EnergyTest(
            distance=unknown,
            p_value=unknown,
            overall_distance=unknown.mean(),
            overall_p_value=unknown.mean(),
        )
    form = _quadratic_form(real.double(), generated.double()) / pairs
    draws = torch.randint(
        2, (n_tasks, n_permutations, n_rows), generator=stream, device=real.device
    )
    signs = draws.to(form.dtype) * 2.0 - 1.0
    permuted = ((signs @ form) * signs).sum(-1)
    observed = form.sum((-2, -1))
    return EnergyTest(
        distance=observed,
        p_value=_p_value(observed, permuted),
        overall_distance=observed.mean(),
        overall_p_value=_p_value(observed.mean(), permuted.mean(0)),
    )


def _quadratic_form(real: Tensor, generated: Tensor) -> Tensor:
    """`[tasks, rows, rows]`; its sum is the distance times the number of pairs."""
    across = _distances(real, generated)
    form = across + across.mT - _distances(real, real) - _distances(generated, generated)
    form.diagonal(dim1=-2, dim2=-1).zero_()
    return form


def _p_value(observed: Tensor, permuted: Tensor) -> Tensor:
    """Share of permutations, the observed one among them, that are at least as far apart."""
    # Rounding must not tell a permutation from its mirror image.
    slack = 1e-9 * observed.abs().unsqueeze(-1)
    farther = (permuted >= observed.unsqueeze(-1) - slack).sum(-1)
    share = (farther + 1.0) / (permuted.shape[-1] + 1.0)
    return share.masked_fill(observed.isnan(), torch.nan)


@torch.no_grad()
def density_and_coverage(real: Tensor, generated: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Density and coverage `[tasks]` of independent samples `[tasks, rows, size]`.

    Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models", equations
    6 and 7. Around every real row lies a ball that reaches to its `k`-th nearest real neighbour.
    Density is how many balls a generated row lies in, over `k`: 1 on average for equal
    distributions, less for rows that no real one is near. Coverage is the share of balls with a
    generated row in them: for equal distributions that of `expected_coverage`.

    NaN with fewer than two real rows; `k` is at most the number of the others.
    """
    n_real, n_generated = real.shape[1], generated.shape[1]
    if n_real < 2 or n_generated < 1:
        unknown = real.new_full((len(real),), torch.nan)
        return unknown, unknown
    k = min(k, n_real - 1)
    # The nearest of all is the row itself. A tie is inside: a constant outcome can be covered.
    radii = _distances(real, real).kthvalue(k + 1, dim=-1).values.unsqueeze(-1)
    inside = _distances(real, generated) <= radii
    density = inside.sum((-2, -1)) / (k * n_generated)
    broken = generated.isnan().flatten(1).any(-1)
    coverage = inside.any(-1).double().mean(-1)
    return density.masked_fill(broken, torch.nan), coverage.masked_fill(broken, torch.nan)


def expected_coverage(n_real: int, n_generated: int, k: int) -> float:
    """What coverage is on average if both samples come from one distribution, whichever.

    Naeem et al. 2020, equation 9. NaN with fewer than two real rows.
    """
    if n_real < 2:
        return math.nan
    k = min(k, n_real - 1)
    others = n_real + n_generated
    return 1.0 - math.prod((n_real - i) / (others - i) for i in range(1, k + 1))


def _distances(ours: Tensor, theirs: Tensor) -> Tensor:
    # By matrix products, distances near 0 would be rounding alone.
    return torch.cdist(ours, theirs, compute_mode="donot_use_mm_for_euclid_dist")
