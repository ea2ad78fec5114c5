"""Running normalisers: one per quantity, because a shared one hides the reward."""

import torch
from torch import Tensor, nn

MIN_STD = 1e-3
MEMORY_ROWS = 100_000
"""Rows that the statistics remember: what early, wild policies saw must fade, because a scale
that is too wide hides the differences between tasks."""


class RunningNormaliser(nn.Module):
    """Mean and variance of the vectors seen, merged batch by batch (Chan et al. 1979).

    Exact over the first `MEMORY_ROWS` rows; from then on older rows fade exponentially.

    Statistics are buffers, so that they travel in the state dictionary.
    """

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))

    @torch.no_grad()
    def update(self, rows: Tensor) -> None:
        """Merge `rows [n, size]` into the statistics."""
        n = rows.shape[0]
        if n == 0:
            return
        mean = rows.mean(0)
        variance = rows.var(0, unbiased=False)
        remembered = self.count.clamp(max=MEMORY_ROWS - min(n, MEMORY_ROWS))
        total = remembered + n
        difference = mean - self.mean
        old = remembered / total
        new = n / total
        merged = old * self.variance + new * variance + old * new * difference.square()
        self.variance.copy_(torch.where(self.count == 0, variance, merged))
        self.mean.copy_(self.mean + difference * new)
        self.count.copy_(total)

    @property
    def std(self) -> Tensor:
        """Standard deviation per component, bounded below: a constant component stays finite."""
        return self.variance.sqrt().clamp(min=MIN_STD)

    def normalise(self, values: Tensor) -> Tensor:
        """To zero mean and unit variance."""
        return (values - self.mean) / self.std

    def denormalise(self, values: Tensor) -> Tensor:
        """Inverse of `normalise`."""
        return values * self.std + self.mean
