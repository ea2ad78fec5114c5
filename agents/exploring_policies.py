"""Deterministic policies that explore beside what they know: those of TD3 and of DQN."""

import math
from collections.abc import Sequence
from typing import final

import gymnasium
import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters, initial_mlp
from metarl_gan.agents.policies import Policy, Sampler


@final
class NoisyActorPolicy(Policy):
    """TD3's: tanh of a network, explored with Gaussian noise of fixed size.

    `noise_std` in half ranges of the action space. Raises `ValueError` for actions without bounds.
    """

    def __init__(
        self,
        space: gymnasium.spaces.Box,
        n_inputs: int,
        hidden_sizes: Sequence[int],
        activation: str = "relu",
        noise_std: float = 0.1,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(n_inputs, hidden_sizes, activation)
        self.n_actions, self.noise_std = int(space.shape[0]), noise_std
        if not space.is_bounded():
            raise ValueError(
                f"the actions of {space} are not bounded: a squashed policy needs finite bounds"
            )
        low, high = (
            torch.as_tensor(bound, dtype=torch.float32) for bound in (space.low, space.high)
        )
        middle, half_range = (low + high) / 2, (high - low) / 2
        self._constant = -self.n_actions * (0.5 * math.log(2.0 * math.pi) + math.log(noise_std))
        self._constant -= float(half_range.log().sum())
        self._middle, self._half_range = middle.to(device), half_range.to(device)

    def initial_parameters(self, generator: torch.Generator) -> dict[str, Tensor]:
        return initial_mlp((self.n_inputs, *self.hidden_sizes, self.n_actions), generator)

    def sampler(self, parameters: Parameters) -> Sampler:
        network = self._bound_network(parameters)

        def sample(observations: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            mean = torch.tanh(network(observations))
            noise = torch.randn(
                mean.shape, generator=generator, device=mean.device, dtype=mean.dtype
            )
            actions = self._to_space(mean + self.noise_std * noise)
            return actions, self._constant - 0.5 * noise.square().sum(-1)

        return sample

    def mode(self, parameters: Parameters, observations: Tensor) -> Tensor:
        return self._to_space(torch.tanh(self._network(parameters, observations)))

    def log_probs(self, parameters: Parameters, observations: Tensor, actions: Tensor) -> Tensor:
        mean = torch.tanh(self._network(parameters, observations))
        noise = (self._from_space(actions) - mean) / self.noise_std
        return self._constant - 0.5 * noise.square().sum(-1)

    def entropy(self, parameters: Parameters, observations: Tensor) -> Tensor:
        return observations.new_full(observations.shape[:-1], 0.5 * self.n_actions - self._constant)

    def scale(self) -> tuple[Tensor, Tensor]:
        """Middle and half range of the action space, `[act]` each."""
        return self._middle, self._half_range

    def _from_space(self, actions: Tensor) -> Tensor:
        return (actions - self._middle.to(actions.dtype)) / self._half_range.to(actions.dtype)

    def _to_space(self, scaled: Tensor) -> Tensor:
        return self._middle.to(scaled.dtype) + scaled * self._half_range.to(scaled.dtype)


@final
class EpsilonGreedyPolicy(Policy):
    """DQN's: the action of highest value, or with probability `epsilon` any one."""

    def __init__(
        self,
        space: gymnasium.spaces.Discrete,
        n_inputs: int,
        hidden_sizes: Sequence[int],
        activation: str = "relu",
        epsilon: float = 0.1,
    ) -> None:
        super().__init__(n_inputs, hidden_sizes, activation)
        self.n_actions, self.start, self.epsilon = int(space.n), int(space.start), epsilon

    def initial_parameters(self, generator: torch.Generator) -> dict[str, Tensor]:
        return initial_mlp((self.n_inputs, *self.hidden_sizes, self.n_actions), generator)

    def sampler(self, parameters: Parameters) -> Sampler:
        network = self._bound_network(parameters)

        def sample(observations: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            greedy = network(observations).argmax(-1)
            chance, other = torch.rand(
                (2, *greedy.shape), generator=generator, device=greedy.device
            ).unbind()
            anyone = (other * self.n_actions).long().clamp(max=self.n_actions - 1)
            index = torch.where(chance < self.epsilon, anyone, greedy)
            return index + self.start, self._log_chances(index == greedy)

        return sample

    def mode(self, parameters: Parameters, observations: Tensor) -> Tensor:
        return self._network(parameters, observations).argmax(-1) + self.start

    def log_probs(self, parameters: Parameters, observations: Tensor, actions: Tensor) -> Tensor:
        return self._log_chances(actions == self.mode(parameters, observations))

    def entropy(self, parameters: Parameters, observations: Tensor) -> Tensor:
        greedy, other = self._chances()
        value = -greedy * math.log(greedy)
        value -= (self.n_actions - 1) * other * math.log(other) if other else 0.0
        return observations.new_full(observations.shape[:-1], value)

    def _chances(self) -> tuple[float, float]:
        """Probability of the action of highest value, and of any other one."""
        other = self.epsilon / self.n_actions
        return 1.0 - (self.n_actions - 1) * other, other

    def _log_chances(self, greedy: Tensor) -> Tensor:
        likely, other = self._chances()
        unlikely = math.log(other) if other else -math.inf
        chances = torch.full(greedy.shape, unlikely, device=greedy.device)
        return chances.masked_fill(greedy, math.log(likely))
