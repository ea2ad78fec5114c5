"""The policy of soft actor-critic: a normal distribution squashed into the action space."""

import math
from collections.abc import Sequence
from typing import final

import gymnasium
import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters, initial_mlp, mlp_layers, through_layers
from metarl_gan.agents.policy import Policy, Sampler

LOG_STD_RANGE = (-5.0, 2.0)
EDGE = 1e-6
"""How near to the edge of the action space the inverse of tanh is taken."""


@final
class SquashedGaussianPolicy(Policy):
    """`tanh` of a normal distribution, under what is known of the task (Haarnoja et al. 2018).

    Beside the network's weights, `parameters` hold `encoding [tasks, encoding_size]`, which the
    network takes with the (standardised) observation: a task is adapted to by telling it
    (PEARL, Rakelly et al. 2019). The network says mean and log standard deviation.
    """

    def __init__(
        self,
        space: gymnasium.spaces.Box,
        n_inputs: int,
        encoding_size: int,
        hidden_sizes: Sequence[int],
        activation: str = "relu",
        device: torch.device | str = "cpu",
    ) -> None:
        """Raises `ValueError` for actions without finite bounds."""
        super().__init__(n_inputs, hidden_sizes, activation)
        if not space.is_bounded():
            raise ValueError(
                f"the actions of {space} are not bounded: a squashed policy needs finite bounds; "
                "rescale them (gymnasium.wrappers.RescaleAction), or learn by policy gradient"
            )
        self.n_actions, self.encoding_size = int(space.shape[0]), encoding_size
        low, high = (
            torch.as_tensor(bound, dtype=torch.float32) for bound in (space.low, space.high)
        )
        self._middle, self._half_range = (
            ((low + high) / 2).to(device),
            ((high - low) / 2).to(device),
        )
        self._log_scale = float(self._half_range.log().sum())

    def initial_parameters(self, generator: torch.Generator) -> dict[str, Tensor]:
        sizes = (self.n_inputs + self.encoding_size, *self.hidden_sizes, 2 * self.n_actions)
        parameters = initial_mlp(sizes, generator)
        parameters["encoding"] = torch.zeros(self.encoding_size, device=generator.device)
        return parameters

    def sampler(self, parameters: Parameters) -> Sampler:
        layers = mlp_layers(parameters)
        encoding = parameters["encoding"].unsqueeze(-2)

        def sample(observations: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            inputs = self.inputs(observations, encoding)
            mean, log_std = self._split(through_layers(layers, inputs, self.activation))
            noise = torch.randn(
                mean.shape, generator=generator, device=mean.device, dtype=mean.dtype
            )
            squashed, log_probs = squash(mean, log_std, noise)
            return self.to_space(squashed), log_probs - self._log_scale

        return sample

    def mode(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """Where the squashed mean is."""
        inputs = self.inputs(observations, parameters["encoding"].unsqueeze(-2))
        return self.to_space(self.moments(parameters, inputs)[0].tanh())

    def log_probs(self, parameters: Parameters, observations: Tensor, actions: Tensor) -> Tensor:
        """As of every policy; actions on the very edge count as just inside."""
        inputs = self.inputs(observations, parameters["encoding"].unsqueeze(-2))
        mean, log_std = self.moments(parameters, inputs)
        inside = self.from_space(actions).clamp(-1 + EDGE, 1 - EDGE)
        noise = (inside.atanh() - mean) * torch.exp(-log_std)
        return _log_density(noise, log_std, inside.atanh()) - self._log_scale

    def entropy(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """An upper bound: that of the normal distribution before squashing; there is no formula."""
        inputs = self.inputs(observations, parameters["encoding"].unsqueeze(-2))
        _, log_std = self.moments(parameters, inputs)
        constant = 0.5 * self.n_actions * (1.0 + math.log(2.0 * math.pi))
        return log_std.sum(-1) + constant + self._log_scale

    def inputs(self, observations: Tensor, encoding: Tensor) -> Tensor:
        """What the network takes, `[..., n_inputs + encoding_size]`; `encoding` broadcasts."""
        observations = self.scaled(observations)
        spread = encoding.expand(*observations.shape[:-1], self.encoding_size)
        return torch.cat([observations, spread.to(observations.dtype)], dim=-1)

    def moments(self, parameters: Parameters, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and bounded log standard deviation before squashing, `[tasks, rows, act]` each."""
        return self._split(through_layers(mlp_layers(parameters), inputs, self.activation))

    def to_space(self, squashed: Tensor) -> Tensor:
        """From [-1, 1] to the action space."""
        dtype = squashed.dtype
        return squashed * self._half_range.to(dtype) + self._middle.to(dtype)

    def from_space(self, actions: Tensor) -> Tensor:
        """Inverse of `to_space`."""
        dtype = actions.dtype
        return (actions - self._middle.to(dtype)) / self._half_range.to(dtype)

    def widened(self, parameters: Parameters, log_std: float) -> dict[str, Tensor]:
        """The same policies with `log_std` added to their log standard deviations."""
        last = f"bias_{len(self.hidden_sizes)}"
        bias = parameters[last].clone()
        bias[..., self.n_actions :] += log_std
        return {**parameters, last: bias}

    def scale(self) -> tuple[Tensor, Tensor]:
        """Middle and half range of the action space, `[act]` each."""
        return self._middle, self._half_range

    def _split(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = outputs.split(self.n_actions, dim=-1)
        return mean, log_std.clamp(*LOG_STD_RANGE)


def squash(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Actions in [-1, 1] from standard normal `noise`, and their log densities there `[...]`."""
    raw = torch.addcmul(mean, noise, log_std.exp())
    return raw.tanh(), _log_density(noise, log_std, raw)


def _log_density(noise: Tensor, log_std: Tensor, raw: Tensor) -> Tensor:
    """Of tanh(raw): the change of variables is written so that it does not underflow."""
    normal = -0.5 * (noise.square() + math.log(2.0 * math.pi)) - log_std
    log_slope = 2.0 * (math.log(2.0) - raw - torch.nn.functional.softplus(-2.0 * raw))
    return (normal - log_slope).sum(-1)
