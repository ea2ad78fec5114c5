"""The role of a stochastic policy, task-batched: all tasks' parameters act in one call."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from metarl_gan.agents.densities import Density
from metarl_gan.agents.networks import Parameters, mlp_layers, through_layers

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

    has_density = False
    """Whether `density` is there."""

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

    def density(self, outputs: Tensor, log_std: Tensor | None, actions: Tensor) -> Density:
        """The log-probabilities of given actions as a function of what the network puts out.

        Of policies that have it; of others autograd derives what it needs from `log_probs`.
        """
        raise NotImplementedError(f"{type(self).__name__} has none")

    def scaled(self, observations: Tensor) -> Tensor:
        """What enters the network: standardised observations."""
        scale = self.observation_scale()
        if scale is None:
            return observations
        mean, std = (value.to(observations.dtype) for value in scale)
        return (observations - mean) / std

    def _network(self, parameters: Parameters, observations: Tensor) -> Tensor:
        return self._bound_network(parameters)(observations)

    def _bound_network(self, parameters: Parameters) -> Callable[[Tensor], Tensor]:
        """The network as a function of observations alone."""
        layers = mlp_layers(parameters)
        return lambda observations: through_layers(
            layers, self.scaled(observations), self.activation
        )
