"""Perceptrons of all members of a generator, evaluated in one product per layer."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from metarl_gan.agents.networks import Layers, Parameters, mlp_layers, through_layers


def member_perceptrons(
    n_members: int, n_inputs: int, hidden_sizes: Sequence[int], n_outputs: int
) -> nn.ParameterDict:
    """Fresh weights `[members, in, out]` and biases `[members, out]`, uniform as torch's own.

    Drawn from torch's global generator, as modules are.
    """
    parameters = {}
    for layer, (n_in, n_out) in enumerate(pairwise((n_inputs, *hidden_sizes, n_outputs))):
        bound = 1.0 / math.sqrt(n_in)
        parameters[f"weight_{layer}"] = torch.empty(n_members, n_in, n_out).uniform_(-bound, bound)
        parameters[f"bias_{layer}"] = torch.empty(n_members, n_out).uniform_(-bound, bound)
    return nn.ParameterDict(parameters)


def perceptron_layers(weights: Parameters, name: str) -> Layers:
    """Layers of the perceptrons called `name`, for those who evaluate them more than once."""
    prefix = name + "."
    named = {key.removeprefix(prefix): v for key, v in weights.items() if key.startswith(prefix)}
    return mlp_layers(named)


def through_perceptrons(weights: Parameters, name: str, inputs: Tensor) -> Tensor:
    """Outputs `[batch, rows, out]` of the SiLU perceptrons called `name`, one per batch entry."""
    return through_layers(perceptron_layers(weights, name), inputs, "silu")
