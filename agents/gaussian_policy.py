"""Normal distributions over continuous actions."""

import math
from collections.abc import Sequence
from typing import final

import gymnasium
import numpy as np
import torch
from torch import Tensor

from metarl_gan.agents.densities import Density, GaussianDensity
from metarl_gan.agents.networks import Parameters, initial_mlp
from metarl_gan.agents.policy import Policy, Sampler

LOG_STD_RANGE = (-3.0, 1.0)


@final
class GaussianPolicy(Policy):
    """Normal distribution with a state-independent, adapted standard deviation.

    Actions are in the units of the action space's own scale: the network's output is
    multiplied by half the range of the space and centred on its middle, where bounded.
    """

    has_density = True

    def __init__(
        self,
        space: gymnasium.spaces.Box,
        n_inputs: int,
        hidden_sizes: Sequence[int],
        activation: str = "tanh",
        initial_std: float = 0.5,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(n_inputs, hidden_sizes, activation)
        self.n_actions = int(space.shape[0])
        self.initial_std = initial_std
        middle, half_range = middle_and_half_range(space.low, space.high)
        # The density is of the action in its space: the change of scale is part of it.
        self._log_scale = float(half_range.log().sum())
        self._log_constant = -0.5 * self.n_actions * math.log(2.0 * math.pi) - self._log_scale
        self._middle, self._half_range = middle.to(device), half_range.to(device)
        self._as_they_are = not middle.any() and bool((half_range == 1.0).all())

    def initial_parameters(self, generator: torch.Generator) -> dict[str, Tensor]:
        sizes = (self.n_inputs, *self.hidden_sizes, self.n_actions)
        parameters = initial_mlp(sizes, generator)
        parameters["log_std"] = torch.full(
            (self.n_actions,), math.log(self.initial_std), device=generator.device
        )
        return parameters

    def sampler(self, parameters: Parameters) -> Sampler:
        network = self._bound_network(parameters)
        log_std = self.bounded_log_std(parameters["log_std"]).unsqueeze(-2)
        std, at_mean = log_std.exp(), self._log_constant - log_std.sum(-1)
        middle, half_range = self._middle.to(std.dtype), self._half_range.to(std.dtype)

        def sample(observations: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            mean = network(observations)
            noise = torch.randn(
                mean.shape, generator=generator, device=mean.device, dtype=mean.dtype
            )
            actions = torch.addcmul(middle, torch.addcmul(mean, noise, std), half_range)
            return actions, torch.add(at_mean, noise.square().sum(-1), alpha=-0.5)

        return sample

    def mode(self, parameters: Parameters, observations: Tensor) -> Tensor:
        return self._to_space(self._moments(parameters, observations)[0])

    def log_probs(self, parameters: Parameters, observations: Tensor, actions: Tensor) -> Tensor:
        mean, log_std = self._moments(parameters, observations)
        noise = (self._from_space(actions) - mean) * torch.exp(-log_std)
        at_mean = self._log_constant - log_std.sum(-1)
        return torch.add(at_mean, (noise * noise).sum(-1), alpha=-0.5)

    def density(self, outputs: Tensor, log_std: Tensor | None, actions: Tensor) -> Density:
        assert log_std is not None
        return GaussianDensity(
            outputs, log_std, LOG_STD_RANGE, self._from_space(actions), self._log_constant
        )

    def entropy(self, parameters: Parameters, observations: Tensor) -> Tensor:
        _, log_std = self._moments(parameters, observations)
        constant = 0.5 * self.n_actions * (1.0 + math.log(2.0 * math.pi))
        return (log_std.sum(-1) + constant + self._log_scale).expand(observations.shape[:-1])

    def scale(self) -> tuple[Tensor, Tensor]:
        """Middle and half range of the action space, `[act]` each."""
        return self._middle, self._half_range

    @staticmethod
    def bounded_log_std(log_std: Tensor) -> Tensor:
        """The log standard deviation that is used, in half ranges: `LOG_STD_RANGE` bounds it."""
        return log_std.clamp(*LOG_STD_RANGE)

    def _moments(self, parameters: Parameters, observations: Tensor) -> tuple[Tensor, Tensor]:
        mean = self._network(parameters, observations)
        return mean, self.bounded_log_std(parameters["log_std"]).unsqueeze(-2)

    def _to_space(self, normalised: Tensor) -> Tensor:
        dtype = normalised.dtype
        return normalised * self._half_range.to(dtype) + self._middle.to(dtype)

    def _from_space(self, actions: Tensor) -> Tensor:
        if self._as_they_are:
            return actions
        dtype = actions.dtype
        return (actions - self._middle.to(dtype)) / self._half_range.to(dtype)


def middle_and_half_range(low: np.ndarray, high: np.ndarray) -> tuple[Tensor, Tensor]:
    """The scale of actions between bounds `[act]`; where one is infinite, 0 and 1."""
    low_, high_ = (torch.as_tensor(bound, dtype=torch.float32) for bound in (low, high))
    bounded = torch.isfinite(low_) & torch.isfinite(high_)
    middle = torch.where(bounded, (low_ + high_) / 2, torch.zeros_like(low_))
    half_range = torch.where(bounded, (high_ - low_) / 2, torch.ones_like(low_))
    return middle, half_range
