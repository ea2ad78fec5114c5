"""The bridge to Stable-Baselines3: our policies as its models."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from stable_baselines3 import DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from torch import Tensor, nn

from metarl_gan.agents.exploring_policies import EpsilonGreedyPolicy, NoisyActorPolicy
from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.policies import GaussianPolicy, Policy
from metarl_gan.agents.sb3_actors import with_actor
from metarl_gan.agents.squashed_gaussian import SquashedGaussianPolicy

MODULES: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU}
BUFFER_SIZE = 100_000
"""Of a model's replay, should it be trained on."""


class SpacesOnly(gymnasium.Env):
    """Stable-Baselines3 wants an environment to build a model; it is never stepped."""

    def __init__(self, observation_space: gymnasium.Space, action_space: gymnasium.Space) -> None:
        self.observation_space = observation_space
        self.action_space = action_space

    def reset(
        self, *, seed: int | None = None, options: dict | None = None
    ) -> tuple[np.ndarray, dict]:
        raise RuntimeError("this environment only carries spaces")

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        raise RuntimeError("this environment only carries spaces")


def as_sb3(
    policy: Policy,
    parameters: Parameters,
    observation_space: spaces.Box,
    action_space: gymnasium.Space,
    *,
    fold_scale: bool = True,
) -> BaseAlgorithm:
    """A model of Stable-Baselines3 that acts as the policy does, ready to be trained on.

    Gaussian and categorical policies are PPO's, squashed ones SAC's, noisy ones TD3's and
    epsilon-greedy ones DQN's. Critics are fresh. What a squashed policy is told of its task, and
    the standardisation of observations, are folded into the first layer; without `fold_scale` the
    model takes observations that are standardised already.

    `parameters` have a task axis of length 1. Raises `ValueError` if the policy has no hidden
    layer, or its actions have several parts, are discrete and do not start at 0, or are not
    bounded.
    """
    _require_counterpart(policy, action_space)
    kind = _algorithm(policy)
    arguments: dict[str, Any] = {} if kind is PPO else {"buffer_size": BUFFER_SIZE}
    arguments["policy_kwargs"] = {
        "net_arch": list(policy.hidden_sizes),
        "activation_fn": MODULES[policy.activation],
    }
    spaces_only = SpacesOnly(observation_space, action_space)
    model = kind("MlpPolicy", spaces_only, device="cpu", **arguments)
    actor = _actor(policy, parameters, fold_scale=fold_scale)
    model.policy.load_state_dict(with_actor(model.policy.state_dict(), actor, kind.__name__))
    if isinstance(model, TD3):
        model.actor_target.load_state_dict(model.actor.state_dict())
    if isinstance(model, DQN):
        model.q_net_target.load_state_dict(model.q_net.state_dict())
    if isinstance(model, DQN) and isinstance(policy, EpsilonGreedyPolicy):
        model.exploration_rate = policy.epsilon
    return model


def _algorithm(policy: Policy) -> type[PPO] | type[SAC] | type[TD3] | type[DQN]:
    if isinstance(policy, SquashedGaussianPolicy):
        return SAC
    if isinstance(policy, NoisyActorPolicy):
        return TD3
    return DQN if isinstance(policy, EpsilonGreedyPolicy) else PPO


def _actor(policy: Policy, parameters: Parameters, *, fold_scale: bool) -> dict[str, Tensor]:
    """The actor's weights in the units of the environment, `weight_i [in, out]`."""
    # Folded in double precision: what is lost is what the last rounding loses.
    own = {name: value.detach()[0].cpu().double() for name, value in parameters.items()}
    if isinstance(policy, SquashedGaussianPolicy):
        weight = own["weight_0"]
        own["bias_0"] = own["bias_0"] + own["encoding"] @ weight[policy.n_inputs :]
        own["weight_0"] = weight[: policy.n_inputs]
    scale = policy.observation_scale()
    if scale is not None and fold_scale:
        mean, std = (value.cpu().double() for value in scale)
        own["weight_0"] = own["weight_0"] / std.unsqueeze(-1)
        own["bias_0"] = own["bias_0"] - mean @ own["weight_0"]
    if isinstance(policy, GaussianPolicy):
        middle, half_range = (value.cpu().double() for value in policy.scale())
        last = len(policy.hidden_sizes)
        own[f"weight_{last}"] = own[f"weight_{last}"] * half_range
        own[f"bias_{last}"] = own[f"bias_{last}"] * half_range + middle
        own["log_std"] = policy.bounded_log_std(own["log_std"]) + half_range.log()
    return {name: value.float() for name, value in own.items()}


def _require_counterpart(policy: Policy, action_space: gymnasium.Space) -> None:
    if not policy.hidden_sizes:
        raise ValueError("a policy without hidden layers has no Stable-Baselines3 counterpart")
    if isinstance(action_space, spaces.Tuple | spaces.Dict):
        raise ValueError(
            f"the actions of {action_space} have several parts; Stable-Baselines3 has no such "
            "policies: act with predict() of this one, which its evaluate_policy takes as it is, "
            "or train on one Box, Discrete or MultiDiscrete (gymnasium.wrappers.TransformAction)"
        )
    if isinstance(action_space, spaces.MultiDiscrete) and action_space.start.any():
        raise ValueError(
            f"the actions of {action_space} start at {action_space.start}; Stable-Baselines3 knows "
            "only those that start at 0"
        )
    if isinstance(action_space, spaces.Discrete) and action_space.start != 0:
        raise ValueError(
            f"the actions of {action_space} start at {action_space.start}; Stable-Baselines3 knows "
            "only those that start at 0"
        )
    if isinstance(action_space, spaces.Box) and not action_space.is_bounded():
        raise ValueError(
            f"the actions of {action_space} are not bounded; Stable-Baselines3 knows only those "
            "with finite bounds"
        )


def log_nothing(model: BaseAlgorithm) -> None:
    """Keep a model from making a folder for its log wherever temporary files are, as it would."""
    model.set_logger(Logger(folder=None, output_formats=[]))
