"""Task-batched multilayer perceptrons: one network per task, all evaluated in one call.

Parameters are plain dictionaries of tensors, so that inner-loop updates are ordinary
expressions which autograd can differentiate through.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

Parameters = Mapping[str, Tensor]
"""Named tensors. With a leading task axis `[tasks, ...]` where a function says so."""

Layers = tuple[tuple[Tensor, Tensor], ...]
"""Weights `[tasks, in, out]` and biases `[tasks, 1, out]` by layer, of one perceptron per task."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "silu": torch.nn.functional.silu,
}


def initial_mlp(
    sizes: Sequence[int], generator: torch.Generator, *, output_gain: float = 0.01
) -> dict[str, Tensor]:
    """Orthogonal weights and zero biases of one perceptron, without a task axis.

    `sizes` lists the widths from input to output. Hidden layers have gain sqrt(2); the last
    layer has `output_gain`, small by default so that a fresh policy is centred
    (Andrychowicz et al. 2021, "What matters in on-policy reinforcement learning?").
    """
    parameters = {}
    last = len(sizes) - 2
    for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
        gain = output_gain if layer == last else math.sqrt(2.0)
        weight = torch.empty(n_out, n_in, device=generator.device)
        torch.nn.init.orthogonal_(weight, gain=gain, generator=generator)
        parameters[f"weight_{layer}"] = weight.T.contiguous()
        parameters[f"bias_{layer}"] = torch.zeros(n_out, device=generator.device)
    return parameters


def task_batched_mlp(parameters: Parameters, inputs: Tensor, activation: str) -> Tensor:
    """Evaluate one perceptron per task: `[tasks, rows, in]` to `[tasks, rows, out]`.

    `parameters` carry a leading task axis: `weight_i [tasks, in, out]`, `bias_i [tasks, out]`.
    """
    return through_layers(mlp_layers(parameters), inputs, activation)


def mlp_layers(parameters: Parameters) -> Layers:
    """Weights and biases `[tasks, 1, out]` of task-batched perceptrons, from input to output."""
    n_layers = sum(name.startswith("weight_") for name in parameters)
    return tuple(
        (parameters[f"weight_{layer}"], parameters[f"bias_{layer}"].unsqueeze(-2))
        for layer in range(n_layers)
    )


def through_layers(layers: Layers, inputs: Tensor, activation: str) -> Tensor:
    """Evaluate the layers that `mlp_layers` gave: saves finding them at every step of a rollout."""
    nonlinearity = ACTIVATIONS[activation]
    hidden = inputs
    for weight, bias in layers[:-1]:
        hidden = nonlinearity(torch.baddbmm(bias, hidden, weight))
    weight, bias = layers[-1]
    return torch.baddbmm(bias, hidden, weight)


def expand_over_tasks(parameters: Parameters, n_tasks: int) -> dict[str, Tensor]:
    """Give every task the same parameters, without copying: `[...]` to `[tasks, ...]`.

    The gradient with respect to the original is the sum over tasks.
    """
    return {name: value.expand(n_tasks, *value.shape) for name, value in parameters.items()}
