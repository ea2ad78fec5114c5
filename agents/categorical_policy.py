"""A softmax over discrete actions."""

from collections.abc import Sequence
from typing import final

import gymnasium
import torch
from torch import Tensor

from metarl_gan.agents.densities import CategoricalDensity, Density
from metarl_gan.agents.networks import Parameters, initial_mlp
from metarl_gan.agents.policy import Policy, Sampler


@final
class CategoricalPolicy(Policy):
    """A softmax over finitely many actions, which are `int64` and have no last axis."""

    has_density = True

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
            index = (log_softmax + gumbel_noise(log_softmax, generator)).argmax(-1)
            log_probs = log_softmax.gather(-1, index.unsqueeze(-1)).squeeze(-1)
            return index + self.start, log_probs

        return sample

    def mode(self, parameters: Parameters, observations: Tensor) -> Tensor:
        return self._network(parameters, observations).argmax(-1) + self.start

    def log_probs(self, parameters: Parameters, observations: Tensor, actions: Tensor) -> Tensor:
        log_softmax = self._network(parameters, observations).log_softmax(-1)
        index = (actions - self.start).unsqueeze(-1)
        return log_softmax.gather(-1, index).squeeze(-1)

    def density(self, outputs: Tensor, log_std: Tensor | None, actions: Tensor) -> Density:
        return CategoricalDensity(outputs, actions - self.start)

    def entropy(self, parameters: Parameters, observations: Tensor) -> Tensor:
        log_softmax = self._network(parameters, observations).log_softmax(-1)
        return -(log_softmax.exp() * log_softmax).sum(-1)


def gumbel_noise(like: Tensor, generator: torch.Generator) -> Tensor:
    """Added to log-probabilities, it makes the index of the greatest one a draw (Gumbel-max).

    One batched expression, where `multinomial` takes two axes at most.
    """
    uniform = torch.rand(like.shape, generator=generator, device=like.device, dtype=like.dtype)
    tiny = torch.finfo(uniform.dtype).tiny
    return -torch.log((-torch.log(uniform.clamp(min=tiny))).clamp(min=tiny))
