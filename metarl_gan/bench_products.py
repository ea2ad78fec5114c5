"""Matrix products by torch: what networks that consist of them could reach at most."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metarl_gan.bench_cases import threads_text
from metarl_gan.bench_timing import Alternative

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What torch computes in, and with how many threads."""

    dtype: str
    threads: int

    def __str__(self) -> str:
        return f"{self.dtype}, {threads_text(self.threads)}"


def products(
    name: str,
    layers: Sequence[tuple[int, int]],
    n_rows: int,
    repeats: int,
    flops_per_transition: float,
    setting: Setting,
) -> Alternative:
    """`repeats` times one product per layer `(n_in, n_out)` with `n_rows` rows of normals.

    They count as as many transitions as would take as many operations.
    """
    stream, dtype = torch.Generator().manual_seed(0), DTYPES[setting.dtype]

    def normals(*shape: int) -> Tensor:
        return torch.randn(shape, generator=stream).to(dtype)

    factors = [
        (normals(n_rows, n_in), normals(n_in, n_out), torch.empty(n_rows, n_out, dtype=dtype))
        for n_in, n_out in layers
    ]

    def multiply() -> None:
        for _ in range(repeats):
            for left, right, product in factors:
                torch.mm(left, right, out=product)

    flops = 2.0 * n_rows * repeats * sum(n_in * n_out for n_in, n_out in layers)
    return Alternative(
        name=name,
        transitions=round(flops / flops_per_transition),
        work=multiply,
        torch_threads=setting.threads,
        flops=flops,
    )
