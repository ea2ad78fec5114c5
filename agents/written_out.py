"""A policy's derivatives, written out: autograd's numbers in fewer operations.

Adapting differentiates a policy's loss, and learning to adapt differentiates that gradient again.
Autograd does both, by a graph of some hundred operations on next to nothing. What it computes for
a perceptron is known in advance: here the gradient is one function, whose backward pass is the
product with the Hessian, as the derivative of every value along a direction and the backward pass
of those (Pearlmutter 1994, "Fast exact multiplication by the Hessian"); in place wherever a value
is needed no more.
"""

from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from metarl_gan.agents.densities import Density, Moved
from metarl_gan.agents.networks import Layers, Parameters
from metarl_gan.agents.policy import Policy

RowLoss = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From log-probabilities `[tasks, rows]` to a loss's first and second derivative in each of them,
of rows that enter it one by one."""


def has_written_out(policy: Policy) -> bool:
    """Whether the functions of this module serve a policy: with a density, and `tanh` layers."""
    return policy.has_density and policy.activation == "tanh"


def log_probs(
    policy: Policy, parameters: Parameters, observations: Tensor, actions: Tensor
) -> Tensor:
    """The policy's `log_probs [tasks, rows]`; differentiable once, in `parameters` alone."""
    names = _names(policy, parameters)
    tensors = (parameters[name] for name in names)
    return _LogProbs.apply(policy, observations, actions, *tensors)


def loss_gradient(
    policy: Policy,
    parameters: Parameters,
    observations: Tensor,
    actions: Tensor,
    row_loss: RowLoss,
) -> dict[str, Tensor]:
    """Gradient of each task's loss in its own `parameters [tasks, ...]`.

    Differentiable once, in `parameters` alone: what `row_loss` knows besides is a constant.
    """
    names = _names(policy, parameters)
    tensors = (parameters[name] for name in names)
    found = _LossGradient.apply(policy, observations, actions, row_loss, *tensors)
    return dict(zip(names, found, strict=True))


def _names(policy: Policy, parameters: Parameters) -> list[str]:
    """Weight and bias of every layer, from input to output; then the rest."""
    layers = range(len(policy.hidden_sizes) + 1)
    names = [f"{kind}_{layer}" for layer in layers for kind in ("weight", "bias")]
    return names + [name for name in parameters if name not in names]


class _Kept(FunctionCtx):
    """What a forward pass keeps for its backward pass."""

    network: "_TanhNetwork"
    density: Density
    weights: Tensor
    curvature: Tensor
    pulled: list[Tensor]


@final
class _LogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Kept, policy: Policy, observations: Tensor, actions: Tensor, *tensors: Tensor
    ) -> Tensor:
        ctx.network, ctx.density = _evaluated(policy, observations, actions, tensors)
        return ctx.density.log_probs()

    @staticmethod
    @once_differentiable
    # pyrefly: ignore[bad-override]
    def backward(ctx: _Kept, weights: Tensor) -> tuple[Tensor | None, ...]:
        moved = ctx.density.pull(weights)
        gradients, _ = ctx.network.pull(moved.outputs)
        return (None, None, None, *gradients, *_rest(moved))


@final
class _LossGradient(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Kept,
        policy: Policy,
        observations: Tensor,
        actions: Tensor,
        row_loss: RowLoss,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.network, ctx.density = _evaluated(policy, observations, actions, tensors)
        ctx.weights, ctx.curvature = row_loss(ctx.density.log_probs())
        moved = ctx.density.pull(ctx.weights)
        gradients, ctx.pulled = ctx.network.pull(moved.outputs)
        return (*gradients, *_rest(moved))

    @staticmethod
    @once_differentiable
    # pyrefly: ignore[bad-override]
    def backward(ctx: _Kept, *direction: Tensor) -> tuple[Tensor | None, ...]:
        network = ctx.network
        layers, rest = _split(direction, network.n_layers)
        tangents, entered = network.push(layers)
        moves = Moved(outputs=tangents[-1], log_std=rest)
        bent = ctx.density.bend(ctx.weights, ctx.curvature, moves)
        gradients = network.bend(ctx.pulled, layers, tangents, entered, bent.outputs)
        return (None, None, None, None, *gradients, *_rest(bent))


def _evaluated(
    policy: Policy, observations: Tensor, actions: Tensor, tensors: Sequence[Tensor]
) -> tuple["_TanhNetwork", Density]:
    layers, log_std = _split(tensors, len(policy.hidden_sizes) + 1)
    network = _TanhNetwork(layers, policy.scaled(observations))
    return network, policy.density(network.outputs, log_std, actions)


def _split(tensors: Sequence[Tensor], n_layers: int) -> tuple[Layers, Tensor | None]:
    weights, biases = tensors[: 2 * n_layers : 2], tensors[1 : 2 * n_layers : 2]
    layers = zip(weights, (bias.unsqueeze(-2) for bias in biases), strict=True)
    return tuple(layers), tensors[-1] if len(tensors) > 2 * n_layers else None


def _rest(moved: Moved) -> tuple[Tensor, ...]:
    return () if moved.log_std is None else (moved.log_std,)


@final
class _TanhNetwork:
    """One perceptron per task, evaluated: what enters each layer, `[tasks, rows, in]`, is kept.

    Layer by layer, from input `x` to output: `s = x W + b`, and `x' = tanh(s)` enters the next.
    """

    def __init__(self, layers: Layers, inputs: Tensor) -> None:
        self._layers, self.n_layers = layers, len(layers)
        self._entered = [inputs]
        for weight, bias in layers[:-1]:
            hidden = _tanh_of_half_(torch.baddbmm(bias, self._entered[-1], weight, beta=2, alpha=2))
            self._entered.append(hidden)
        weight, bias = layers[-1]
        self.outputs = torch.baddbmm(bias, self._entered[-1], weight)

    def pull(self, outputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """From a gradient in the outputs to that in every weight and bias, and in every `s`."""
        gradients, pulled = [], [outputs]
        for layer in reversed(range(self.n_layers)):
            entered, gradient = self._entered[layer], pulled[-1]
            gradients += [gradient.sum(-2), torch.bmm(entered.mT, gradient)]
            if layer:
                back = torch.bmm(gradient, self._layers[layer][0].mT)
                pulled.append(_before_tanh_(back, entered))
        return gradients[::-1], pulled[::-1]

    def push(self, direction: Layers) -> tuple[list[Tensor], list[Tensor]]:
        """How every `s`, and what enters each layer but the first, moves along a direction."""
        tangents, entered = [], []
        for layer, (weight, bias) in enumerate(direction):
            moved = torch.baddbmm(bias, self._entered[layer], weight)
            if layer:
                entered.append(torch.ops.aten.tanh_backward(tangents[-1], self._entered[layer]))
                moved.baddbmm_(entered[-1], self._layers[layer][0])
            tangents.append(moved)
        return tangents, entered

    def bend(
        self,
        pulled: list[Tensor],
        direction: Layers,
        tangents: list[Tensor],
        entered: list[Tensor],
        outputs: Tensor,
    ) -> list[Tensor]:
        """How the gradients of `pull` move along a direction.

        `pulled` is what `pull` found, `tangents` and `entered` are what `push` found, and
        `outputs` is how the gradient in the outputs moves.
        """
        gradients, moved = [], outputs
        for layer in reversed(range(self.n_layers)):
            in_weight = torch.bmm(self._entered[layer].mT, moved)
            gradients += [moved.sum(-2), in_weight]
            if layer:
                in_weight.baddbmm_(entered[layer - 1].mT, pulled[layer])
                moved = torch.bmm(moved, self._layers[layer][0].mT)
                moved.baddbmm_(pulled[layer], direction[layer][0].mT)
                moved = _before_tanh_(moved, self._entered[layer])
                # tanh'' = -2 tanh tanh', and `pulled` has tanh' in it
                bent = tangents[layer - 1].mul_(pulled[layer - 1])
                moved.addcmul_(self._entered[layer], bent, value=-2.0)
        return gradients[::-1]


def _tanh_of_half_(doubled: Tensor) -> Tensor:
    """`tanh(doubled / 2)`, in place, as `2 sigmoid(doubled) - 1`.

    On processors torch's own takes six times as long as its sigmoid.
    """
    return doubled.sigmoid_().mul_(2.0).sub_(1.0)


def _before_tanh_(gradient: Tensor, hidden: Tensor) -> Tensor:
    """From a gradient in `hidden`, in place, to that in what it is the `tanh` of."""
    return torch.ops.aten.tanh_backward.grad_input(gradient, hidden, grad_input=gradient)
