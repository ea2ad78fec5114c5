"""Gaussian networks by maximum likelihood: the members of PETS and MBPO."""

from typing import final

import torch
from torch import Tensor, nn

from metarl_gan.agents.networks import Parameters
from metarl_gan.generator import Generator, RowLosses
from metarl_gan.generator_config import GeneratorConfig
from metarl_gan.generators.perceptrons import member_perceptrons, through_perceptrons
from metarl_gan.transition_space import Rows, TransitionSpace

INITIAL_MAX, INITIAL_MIN = 0.5, -6.0
"""Where the learnt bounds of log-variances start."""
FLOOR = -7.0
"""Below which no bound goes: a standard deviation of 0.03. Where outcomes are certain, likelihood
would have it fall without end, and gradients grow as its inverse."""
BOUNDS_WEIGHT = 0.01
"""Weight of what pulls these bounds together, per component."""


@final
class GaussianGenerator(Generator):
    """Mean and variance of the change of state and of the reward (Chua et al. 2018, PETS).

    The variance is what the data scatter; what is not known for want of data shows in how the
    members differ (Janner et al. 2019, MBPO). A sample is mean + std z, so that without noise
    the mean is generated.
    """

    def __init__(self, space: TransitionSpace, encoding_size: int, config: GeneratorConfig) -> None:
        super().__init__(space, encoding_size, config.members)
        states = space.state_size
        conditions = states + space.action_size + encoding_size
        hidden = config.hidden_sizes
        self.dynamics = member_perceptrons(config.members, conditions, hidden, 2 * states + 1)
        self.dynamics_bounds = _bounds(config.members, states)
        self.reward = member_perceptrons(config.members, conditions + states, hidden, 2)
        self.reward_bounds = _bounds(config.members, 1)

    @property
    def noise_size(self) -> int:
        return self.state_size

    @property
    def reward_noise_size(self) -> int:
        return 1

    def transition(self, weights: Parameters, inputs: Tensor) -> tuple[Tensor, Tensor]:
        conditions, noise = inputs.split(
            [inputs.shape[-1] - self.state_size, self.state_size], dim=-1
        )
        mean, log_variance, logits = self._dynamics(weights, conditions)
        return _sample(mean, log_variance, noise), logits

    def rewards(
        self,
        weights: Parameters,
        states: Tensor,
        actions: Tensor,
        changes: Tensor,
        encoding: Tensor,
        noise: Tensor,
    ) -> Tensor:
        conditions = torch.cat([states, actions, changes, encoding], dim=-1)
        return _sample(*self._reward(weights, conditions), noise)

    def losses(
        self, weights: Parameters, rows: Rows, encoding: Tensor, stream: torch.Generator | None
    ) -> RowLosses:
        """Negative log-likelihoods, without their constant; nothing is drawn.

        The state's is a mean over components. Both include what pulls the bounds together.
        """
        conditions = torch.cat([rows.states, rows.actions, encoding], dim=-1)
        mean, log_variance, logits = self._dynamics(weights, conditions)
        conditions = torch.cat([rows.states, rows.actions, rows.changes, encoding], dim=-1)
        reward = _nll(*self._reward(weights, conditions), rows.rewards)
        terminated = nn.functional.binary_cross_entropy_with_logits(
            logits, rows.terminated, reduction="none"
        )
        return RowLosses(
            state=_nll(mean, log_variance, rows.changes) + _looseness(weights, "dynamics_bounds"),
            reward=reward + _looseness(weights, "reward_bounds"),
            terminated=terminated.squeeze(-1),
        )

    def _dynamics(self, weights: Parameters, conditions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and log-variance of the change `[batch, rows, state]`, logit of termination."""
        outputs = through_perceptrons(weights, "dynamics", conditions)
        sizes = [self.state_size, self.state_size, 1]
        mean, log_variance, logits = outputs.split(sizes, dim=-1)
        return mean, _bounded(weights, "dynamics_bounds", log_variance), logits

    def _reward(self, weights: Parameters, conditions: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = through_perceptrons(weights, "reward", conditions).split(1, dim=-1)
        return mean, _bounded(weights, "reward_bounds", log_variance)


def _bounds(n_members: int, size: int) -> nn.ParameterDict:
    """Largest and smallest log-variance of each component, `[members, size]`."""
    largest = torch.full((n_members, size), INITIAL_MAX)
    return nn.ParameterDict({"max": largest, "min": torch.full_like(largest, INITIAL_MIN)})


def _bounded(weights: Parameters, name: str, log_variance: Tensor) -> Tensor:
    """Softly between the learnt bounds (PETS, appendix A.1)."""
    largest = weights[f"{name}.max"].unsqueeze(-2)
    smallest = weights[f"{name}.min"].clamp(min=FLOOR).unsqueeze(-2)
    below = largest - nn.functional.softplus(largest - log_variance)
    return smallest + nn.functional.softplus(below - smallest)


def _looseness(weights: Parameters, name: str) -> Tensor:
    """What wide bounds cost, `[batch, 1]`."""
    distance = weights[f"{name}.max"] - weights[f"{name}.min"]
    return BOUNDS_WEIGHT * distance.mean(-1, keepdim=True)


def _sample(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    return torch.addcmul(mean, torch.exp(0.5 * log_variance), noise)


def _nll(mean: Tensor, log_variance: Tensor, target: Tensor) -> Tensor:
    """`[batch, rows]`, a mean over components."""
    squared = (target - mean).square() * torch.exp(-log_variance)
    return 0.5 * (squared + log_variance).mean(-1)
