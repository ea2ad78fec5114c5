"""Actions of several parts, continuous and discrete."""

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from metarl_gan.agents.categorical_policy import gumbel_noise
from metarl_gan.agents.gaussian_policy import LOG_STD_RANGE, middle_and_half_range
from metarl_gan.agents.networks import Parameters, initial_mlp
from metarl_gan.agents.policy import Policy, Sampler
from metarl_gan.envs.action_format import HybridActions


@final
class HybridPolicy(Policy):
    """Normal distributions and softmaxes side by side, over actions of several parts.

    Such are the parameterised actions of Masson et al. (2016), "Reinforcement learning with
    parameterized actions". As in Fan et al. (2019), "Hybrid actor-critic reinforcement learning
    in parameterized action space", the parts are independent given the observation, so that
    log-probabilities and entropies add up: a choice's parameters are drawn whichever is chosen.

    Actions are float `[tasks, rows, act]`, rows of a `HybridActions`. The network's outputs are
    the means of the continuous columns, as a `GaussianPolicy`'s, and then the logits of each
    discrete column. Without continuous columns there is no `log_std`.
    """

    def __init__(
        self,
        actions: HybridActions,
        n_inputs: int,
        hidden_sizes: Sequence[int],
        activation: str = "tanh",
        initial_std: float = 0.5,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(n_inputs, hidden_sizes, activation)
        self.initial_std = initial_std
        continuous, self._choices = list(actions.continuous), actions.discrete
        self.n_continuous = len(continuous)
        middle, half_range = middle_and_half_range(
            actions.low[continuous], actions.high[continuous]
        )
        self._log_scale = float(half_range.log().sum())
        self._log_constant = -0.5 * self.n_continuous * math.log(2.0 * math.pi) - self._log_scale
        self._middle, self._half_range = middle.to(device), half_range.to(device)
        order = torch.tensor([*continuous, *(choice.column for choice in self._choices)])
        self._own_order = order.to(device)
        self._row_order = order.argsort().to(device)

    def initial_parameters(self, generator: torch.Generator) -> dict[str, Tensor]:
        n_outputs = self.n_continuous + sum(choice.n for choice in self._choices)
        parameters = initial_mlp((self.n_inputs, *self.hidden_sizes, n_outputs), generator)
        if self.n_continuous:
            parameters["log_std"] = torch.full(
                (self.n_continuous,), math.log(self.initial_std), device=generator.device
            )
        return parameters

    def sampler(self, parameters: Parameters) -> Sampler:
        network, log_std = self._bound_network(parameters), self._log_std(parameters)
        std = log_std.exp()

        def sample(observations: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            outputs = network(observations)
            means, choices = self._split(outputs)
            noise = torch.randn(
                means.shape, generator=generator, device=means.device, dtype=means.dtype
            )
            gumbel = self._by_choice(gumbel_noise(outputs[..., self.n_continuous :], generator))
            log_probs, indices = self._log_density(noise, log_std), []
            for log_softmax, disturbance in zip(choices, gumbel, strict=True):
                index = (log_softmax + disturbance).argmax(-1, keepdim=True)
                log_probs = log_probs + log_softmax.gather(-1, index).squeeze(-1)
                indices.append(index)
            return self._rows(means + noise * std, indices), log_probs

        return sample

    def mode(self, parameters: Parameters, observations: Tensor) -> Tensor:
        means, choices = self._split(self._network(parameters, observations))
        return self._rows(means, [choice.argmax(-1, keepdim=True) for choice in choices])

    def log_probs(self, parameters: Parameters, observations: Tensor, actions: Tensor) -> Tensor:
        means, choices = self._split(self._network(parameters, observations))
        log_std = self._log_std(parameters)
        own = actions.index_select(-1, self._own_order)
        continuous, numbers = own.split([self.n_continuous, len(choices)], dim=-1)
        middle, half_range = self._middle.to(means.dtype), self._half_range.to(means.dtype)
        noise = ((continuous - middle) / half_range - means) * torch.exp(-log_std)
        log_probs = self._log_density(noise, log_std)
        for choice, log_softmax, number in zip(
            self._choices, choices, numbers.unbind(-1), strict=True
        ):
            # Rows that count for nothing hold no choice; they must not point out of the list.
            index = (number - choice.start).long().clamp(0, choice.n - 1).unsqueeze(-1)
            log_probs = log_probs + log_softmax.gather(-1, index).squeeze(-1)
        return log_probs

    def entropy(self, parameters: Parameters, observations: Tensor) -> Tensor:
        means, choices = self._split(self._network(parameters, observations))
        constant = 0.5 * self.n_continuous * (1.0 + math.log(2.0 * math.pi)) + self._log_scale
        entropy = (self._log_std(parameters).sum(-1) + constant).expand(means.shape[:-1])
        for log_softmax in choices:
            entropy = entropy - (log_softmax.exp() * log_softmax).sum(-1)
        return entropy

    def _split(self, outputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Means of the continuous columns, and log-probabilities of each choice."""
        n = self.n_continuous
        choices = self._by_choice(outputs[..., n:])
        return outputs[..., :n], [logits.log_softmax(-1) for logits in choices]

    def _by_choice(self, values: Tensor) -> Sequence[Tensor]:
        return values.split([choice.n for choice in self._choices], dim=-1)

    def _log_std(self, parameters: Parameters) -> Tensor:
        if not self.n_continuous:
            return parameters["bias_0"].new_zeros((len(parameters["bias_0"]), 1, 0))
        return parameters["log_std"].clamp(*LOG_STD_RANGE).unsqueeze(-2)

    def _log_density(self, noise: Tensor, log_std: Tensor) -> Tensor:
        return (-0.5 * noise.square() - log_std).sum(-1) + self._log_constant

    def _rows(self, normalised: Tensor, indices: list[Tensor]) -> Tensor:
        """Actions from continuous columns in half ranges and indices `[..., 1]` of choices."""
        dtype = normalised.dtype
        continuous = normalised * self._half_range.to(dtype) + self._middle.to(dtype)
        starts = [choice.start for choice in self._choices]
        numbers = [(i + start).to(dtype) for i, start in zip(indices, starts, strict=True)]
        return torch.cat([continuous, *numbers], dim=-1).index_select(-1, self._row_order)
