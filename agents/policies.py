"""Which policy acts in which space, and the policies by name."""

from collections.abc import Sequence

import gymnasium
import torch

from metarl_gan.agents.categorical_policy import CategoricalPolicy
from metarl_gan.agents.gaussian_policy import LOG_STD_RANGE, GaussianPolicy
from metarl_gan.agents.hybrid_policy import HybridPolicy
from metarl_gan.agents.policy import Policy, Sampler
from metarl_gan.envs.action_format import HybridActions, action_format
from metarl_gan.envs.supported_spaces import action_problem, observation_problem

__all__ = [
    "LOG_STD_RANGE",
    "CategoricalPolicy",
    "GaussianPolicy",
    "HybridPolicy",
    "Policy",
    "Sampler",
    "make_policy",
]


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

    For `MultiDiscrete`, and for a `Tuple` or `Dict` of those, the product of both. Raises
    `ValueError` for other spaces, and for observations that are not 1-D.
    """
    problem = observation_problem(observation_space) or action_problem(action_space)
    if problem or not isinstance(observation_space, gymnasium.spaces.Box):
        raise ValueError(problem)
    n_inputs = int(observation_space.shape[0])
    if isinstance(action_space, gymnasium.spaces.Discrete):
        return CategoricalPolicy(action_space, n_inputs, hidden_sizes, activation)
    if isinstance(action_space, gymnasium.spaces.Box):
        return GaussianPolicy(action_space, n_inputs, hidden_sizes, activation, initial_std, device)
    actions = action_format(action_space)
    assert isinstance(actions, HybridActions)
    return HybridPolicy(actions, n_inputs, hidden_sizes, activation, initial_std, device)
