"""Stochastic policies, task-batched: the parameters of every task act in one call."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import final

import gymnasium
import torch
from torch import Tensor

from metarl_gan.agents.networks import (
    Parameters,
    initial_mlp,
    mlp_layers,
    through_layers,
)
from metarl_gan.envs.supported_spaces import action_problem, observation_problem

LOG_STD_RANGE = (-3.0, 1.0)

Sampler = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""From observations `[tasks, rows, obs]`: actions as sampled, and their log-probabilities."""


class Policy(ABC):
    """How a policy of one family of distributions acts, as a function of its parameters.

    A policy object holds no weights: they are passed in, with a leading task axis, so that
    the same object serves the initial, the adapting and the adapted policies. All tensors
    are `[tasks, rows, ...]`.

    Observations are standardised before they enter the network, by a mean and a standard
    deviation that are set from outside and stay fixed while a meta-batch is played.
    """

    def __init__(self, n_inputs: int, hidden_sizes: Sequence[int], activation: str) -> None:
        self.n_inputs = n_inputs
        self.hidden_sizes = tuple(hidden_sizes)
        self.activation = activation
        self._observation_mean: Tensor | None = None
        self._observation_std: Tensor | None = None

    def set_observation_scale(self, mean: Tensor, std: Tensor) -> None:
        """Standardise observations by `mean [obs]` and `std [obs]` from now on."""
        self._observation_mean, self._observation_std = mean.clone(), std.clone()

    def observation_scale(self) -> tuple[Tensor, Tensor] | None:
        """Mean and standard deviation in use, `[obs]` each; None if observations enter as is."""
        if self._observation_mean is None or self._observation_std is None:
            return None
        return self._observation_mean, self._observation_std

    @abstractmethod
    def initial_parameters(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Fresh parameters without a task axis; the policy they give is centred."""

    @abstractmethod
    def sampler(self, parameters: Parameters) -> Sampler:
        """`sample` with its parameters bound: what they alone decide is computed only once."""

    def sample(
        self, parameters: Parameters, observations: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Actions as sampled (unclipped) and their log-probabilities `[tasks, rows]`."""
        return self.sampler(parameters)(observations, generator)

    @abstractmethod
    def mode(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """The most probable actions."""

    @abstractmethod
    def log_probs(self, parameters: Parameters, observations: Tensor, actions: Tensor) -> Tensor:
        """Log-probabilities `[tasks, rows]` of given actions."""

    @abstractmethod
    def entropy(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """Entropy in nats, `[tasks, rows]`."""

    def _network(self, parameters: Parameters, observations: Tensor) -> Tensor:
        return self._bound_network(parameters)(observations)

    def _bound_network(self, parameters: Parameters) -> Callable[[Tensor], Tensor]:
        """The network as a function of observations alone."""
        layers, activation, scale = (
            mlp_layers(parameters),
            self.activation,
            self.observation_scale(),
        )
        if scale is None:
            return lambda observations: through_layers(layers, observations, activation)
        mean, std = (value.to(layers[0][0].dtype) for value in scale)
        return lambda observations: through_layers(layers, (observations - mean) / std, activation)


@final
class GaussianPolicy(Policy):
    """Normal distribution with a state-independent, adapted standard deviation.

    Actions are in the units of the action space's own scale: the network's output is
    multiplied by half the range of the space and centred on its middle, where bounded.
    """

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
        middle, half_range = _middle_and_half_range(space)
        # The density is of the action in its space: the change of scale is part of it.
        self._log_scale = float(half_range.log().sum())
        self._log_constant = -0.5 * self.n_actions * math.log(2.0 * math.pi) - self._log_scale
        self._middle, self._half_range = middle.to(device), half_range.to(device)

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
        return (-0.5 * noise.square() - log_std).sum(-1) + self._log_constant

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
        dtype = actions.dtype
        return (actions - self._middle.to(dtype)) / self._half_range.to(dtype)


@final
class CategoricalPolicy(Policy):
    """A softmax over finitely many actions, which are `int64` and have no last axis."""

    def __init__(
        self,
        space: gymnasium.spaces.Discrete,
        n_inputs: int,
        hidden_sizes: Sequence[int],
        activation: str = "tanh",
    ) -> None:
        super().__init__(n_inputs, hidden_sizes, activation)
        self.n_actions = int(space.n)
        self.start = int(space.start)

    def initial_parameters(self, generator: torch.Generator) -> dict[str, Tensor]:
        return initial_mlp((self.n_inputs, *self.hidden_sizes, self.n_actions), generator)

    def sampler(self, parameters: Parameters) -> Sampler:
        network = self._bound_network(parameters)

        def sample(observations: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            log_softmax = network(observations).log_softmax(-1)
            # Gumbel-max: one batched expression where multinomial takes two axes at most.
            uniform = torch.rand(
                log_softmax.shape,
                generator=generator,
                device=log_softmax.device,
                dtype=log_softmax.dtype,
            )
            tiny = torch.finfo(uniform.dtype).tiny
            exponential = (-torch.log(uniform.clamp(min=tiny))).clamp(min=tiny)
            gumbel = -torch.log(exponential)
            index = (log_softmax + gumbel).argmax(-1)
            log_probs = log_softmax.gather(-1, index.unsqueeze(-1)).squeeze(-1)
            return index + self.start, log_probs

        return sample

    def mode(self, parameters: Parameters, observations: Tensor) -> Tensor:
        return self._network(parameters, observations).argmax(-1) + self.start

    def log_probs(self, parameters: Parameters, observations: Tensor, actions: Tensor) -> Tensor:
        log_softmax = self._network(parameters, observations).log_softmax(-1)
        index = (actions - self.start).unsqueeze(-1)
        return log_softmax.gather(-1, index).squeeze(-1)

    def entropy(self, parameters: Parameters, observations: Tensor) -> Tensor:
        log_softmax = self._network(parameters, observations).log_softmax(-1)
        return -(log_softmax.exp() * log_softmax).sum(-1)


def make_policy(
    observation_space: gymnasium.Space,
    action_space: gymnasium.Space,
    *,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: str = "tanh",
    initial_std: float = 0.5,
    device: torch.device | str = "cpu",
) -> Policy:
    """The policy that fits the spaces: Gaussian for `Box`, categorical for `Discrete` actions.

    Raises `ValueError` for spaces that are neither, and for observations that are not 1-D.
    """
    problem = observation_problem(observation_space) or action_problem(action_space)
    if problem or not isinstance(observation_space, gymnasium.spaces.Box):
        raise ValueError(problem)
    n_inputs = int(observation_space.shape[0])
    if isinstance(action_space, gymnasium.spaces.Discrete):
        return CategoricalPolicy(action_space, n_inputs, hidden_sizes, activation)
    assert isinstance(action_space, gymnasium.spaces.Box)
    return GaussianPolicy(action_space, n_inputs, hidden_sizes, activation, initial_std, device)


def _middle_and_half_range(space: gymnasium.spaces.Box) -> tuple[Tensor, Tensor]:
    low = torch.as_tensor(space.low, dtype=torch.float32)
    high = torch.as_tensor(space.high, dtype=torch.float32)
    bounded = torch.isfinite(low) & torch.isfinite(high)
    middle = torch.where(bounded, (low + high) / 2, torch.zeros_like(low))
    half_range = torch.where(bounded, (high - low) / 2, torch.ones_like(low))
    return middle, half_range
