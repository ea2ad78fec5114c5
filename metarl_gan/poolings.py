"""How the embedded transitions of a context become one vector, whatever their number and order."""

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn

ATTENTION_HEADS = 4
MAX_LOG_STD = 5.0


class Pooling(nn.Module, ABC):
    """The role: permutation-invariant features of the valid rows of a context."""

    @abstractmethod
    def forward(self, embedded: Tensor, valid: Tensor) -> Tensor:
        """Features `[..., width]` of finite `embedded [..., rows, width]`.

        `valid [..., rows]`: rows that are not count for nothing. Without any valid row,
        finite features.
        """


@final
class MeanPooling(Pooling):
    """The mean over the valid rows (Zaheer et al. 2017, "Deep sets")."""

    def forward(self, embedded: Tensor, valid: Tensor) -> Tensor:
        weight = valid.to(embedded.dtype).unsqueeze(-1)
        return (embedded * weight).sum(-2) / weight.sum(-2).clamp(min=1.0)


@final
class AttentionPooling(Pooling):
    """Learnt queries, one per head, attend to the valid rows (Lee et al. 2019, "Set transformer").

    Pooling by multi-head attention (eq. 11 there) without its residual blocks.
    """

    def __init__(self, width: int, n_heads: int = ATTENTION_HEADS) -> None:
        super().__init__()
        self._n_heads = n_heads
        # Rounded up, so that any width will do.
        size = math.ceil(width / n_heads)
        self.queries = nn.Parameter(torch.randn(n_heads, 1, size))
        self.keys = nn.Linear(width, n_heads * size)
        self.values = nn.Linear(width, n_heads * size)
        self.mix = nn.Linear(n_heads * size, width)

    def forward(self, embedded: Tensor, valid: Tensor) -> Tensor:
        leading = embedded.shape[:-2]
        # A softmax over nothing is no number: an empty context attends to all of its padding.
        seen = (valid | ~valid.any(-1, keepdim=True))[..., None, None, :]
        attended = nn.functional.scaled_dot_product_attention(
            self.queries.expand(*leading, -1, -1, -1),
            self._by_head(self.keys(embedded)),
            self._by_head(self.values(embedded)),
            attn_mask=seen.expand(*leading, self._n_heads, 1, -1),
        )
        return self.mix(attended.flatten(-3))

    def _by_head(self, projected: Tensor) -> Tensor:
        """`[..., rows, heads * size]` to `[..., heads, rows, size]`."""
        return projected.unflatten(-1, (self._n_heads, -1)).transpose(-2, -3)


@final
class ProductPooling(Pooling):
    """The mean of a product of one Gaussian per valid row, which weighs a row by how sure it is.

    The Gaussians are of features, not of the encoding as in Rakelly et al. 2019 ("PEARL"), so that
    what tells tasks apart can be standardised before it is mapped to an encoding.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.factors = nn.Linear(width, 2 * width)

    def forward(self, embedded: Tensor, valid: Tensor) -> Tensor:
        means, log_stds = self.factors(embedded).chunk(2, dim=-1)
        mean, _ = product_of_gaussians(means, bounded_log_std(log_stds), valid)
        return mean


def product_of_gaussians(mean: Tensor, log_std: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log standard deviation `[..., size]` of a product of one Gaussian per valid row.

    `mean` and `log_std [..., rows, size]`, finite, `valid [..., rows]`. Precisions add up and weigh
    the means: q(z | c) in section 4.1 of Rakelly et al. 2019 ("PEARL"). The product of none is a
    standard normal.
    """
    known = valid.any(-1)[..., None, None]
    # In logarithms, so that neither tiny nor huge precisions leave the range of the numbers.
    log_precision = (-2.0 * log_std).masked_fill(~valid.unsqueeze(-1) & known, -torch.inf)
    weight = torch.softmax(log_precision, dim=-2).masked_fill(~known, 0.0)
    product = -0.5 * torch.logsumexp(log_precision, dim=-2)
    return (weight * mean).sum(-2), product.masked_fill(~known.squeeze(-1), 0.0)


def bounded_log_std(raw: Tensor) -> Tensor:
    """Within +-MAX_LOG_STD, smoothly, so that no gradient dies and no variance overflows."""
    return MAX_LOG_STD * torch.tanh(raw / MAX_LOG_STD)
