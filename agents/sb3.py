"""The bridge to Stable-Baselines3: our policies as its models."""

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from torch import Tensor, nn

from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.policies import GaussianPolicy, Policy

MODULES: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU}


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


def as_ppo(
    policy: Policy,
    parameters: Parameters,
    observation_space: spaces.Box,
    action_space: gymnasium.Space,
) -> PPO:
    """A PPO model whose actor is the policy; its critic is fresh, ready to be trained on.

    `parameters` have a task axis of length 1. Raises `ValueError` if the policy has no hidden
    layer, or its actions have several parts, are discrete and do not start at 0, or are not
    bounded.
    """
    _require_counterpart(policy, action_space)
    model = PPO(
        "MlpPolicy",
        SpacesOnly(observation_space, action_space),
        device="cpu",
        policy_kwargs={
            "net_arch": {"pi": list(policy.hidden_sizes), "vf": list(policy.hidden_sizes)},
            "activation_fn": MODULES[policy.activation],
        },
    )
    own = {name: value.detach()[0].cpu() for name, value in parameters.items()}
    actor = model.policy
    modules = [*actor.mlp_extractor.policy_net, actor.action_net]
    linears = [module for module in modules if isinstance(module, nn.Linear)]
    with torch.no_grad():
        for layer, linear in enumerate(linears):
            linear.weight.copy_(own[f"weight_{layer}"].T)
            linear.bias.copy_(own[f"bias_{layer}"])
        scale = policy.observation_scale()
        if scale is not None:
            _standardise_input(linears[0], scale[0].cpu(), scale[1].cpu())
        if isinstance(policy, GaussianPolicy):
            middle, half_range = policy.scale()
            _rescale_output(linears[-1], middle.cpu(), half_range.cpu())
            actor.log_std.copy_(policy.bounded_log_std(own["log_std"]) + half_range.cpu().log())
    return model


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


def _standardise_input(linear: nn.Linear, mean: Tensor, std: Tensor) -> None:
    """Fold the standardisation of observations into the first layer."""
    linear.weight.div_(std)
    linear.bias.sub_(linear.weight @ mean)


def _rescale_output(linear: nn.Linear, middle: Tensor, half_range: Tensor) -> None:
    """Our network's outputs are in half ranges of the action space; theirs are actions."""
    linear.weight.mul_(half_range.unsqueeze(-1))
    linear.bias.mul_(half_range).add_(middle)
