"""The policies that algorithms of Stable-Baselines3 learn, as ours."""

import gymnasium
import torch
from gymnasium import spaces

from metarl_gan.agents.exploring_policies import EpsilonGreedyPolicy, NoisyActorPolicy
from metarl_gan.agents.policies import Policy, make_policy
from metarl_gan.agents.squashed_gaussian import SquashedGaussianPolicy
from metarl_gan.config import Config


def make_sb3_policy(
    observation_space: gymnasium.Space,
    action_space: gymnasium.Space,
    config: Config,
    device: torch.device,
) -> Policy:
    """The policy of `learner.sb3_algorithm`: as its actor acts while it learns."""
    learner, sizes, activation = (
        config.learner,
        config.policy.hidden_sizes,
        config.policy.activation,
    )
    policy = make_policy(
        observation_space,
        action_space,
        hidden_sizes=sizes,
        activation=activation,
        initial_std=config.policy.initial_std,
        device=device,
    )
    if isinstance(action_space, spaces.Discrete) and learner.sb3_algorithm == "DQN":
        return EpsilonGreedyPolicy(
            action_space, policy.n_inputs, sizes, activation, learner.sb3_exploration
        )
    if isinstance(action_space, spaces.Box) and learner.sb3_algorithm == "TD3":
        return NoisyActorPolicy(
            action_space, policy.n_inputs, sizes, activation, learner.sb3_exploration, device
        )
    if isinstance(action_space, spaces.Box) and learner.sb3_algorithm == "SAC":
        # Nothing is told of a task: its encoding has no components.
        return SquashedGaussianPolicy(action_space, policy.n_inputs, 0, sizes, activation, device)
    return policy
