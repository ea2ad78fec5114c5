"""Perceptrons of the generator, the discriminator and the context encoder."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm


def perceptron(
    n_inputs: int,
    hidden_sizes: Sequence[int],
    n_outputs: int,
    *,
    spectral: bool = False,
    activation: Callable[[], nn.Module] = nn.SiLU,
) -> nn.Sequential:
    """Linear layers with activations between them.

    With `spectral`, every layer is spectrally normalised (Miyato et al. 2018).
    """
    widths = (n_inputs, *hidden_sizes, n_outputs)
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        linear = nn.Linear(n_in, n_out)
        layers += [spectral_norm(linear) if spectral else linear, activation()]
    return nn.Sequential(*layers[:-1])
