"""Meta-training that starts from a policy which Stable-Baselines3 trained."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from metarl_gan.agents.policies import LOG_STD_RANGE, GaussianPolicy
from metarl_gan.agents.sb3_inner import OTHERS
from metarl_gan.agents.sb3_pretrained import Pretrained, read_pretrained
from metarl_gan.components import Components
from metarl_gan.config import Config
from metarl_gan.config_error import ConfigError

PREFIX = "parameters."
"""Of the policy's weights among the tensors of a learner that learns a starting point."""


def settings_of(path: str | Path) -> dict[str, object]:
    """The settings that a run needs to start from a file. Raises `ConfigError` as `start_from`."""
    read = _read(path)
    return {
        "policy.start_from": str(path),
        "policy.hidden_sizes": read.hidden_sizes,
        "policy.activation": read.activation,
        "policy.normalise_observations": False,
        "learner.sb3_scale_rewards": False,
    }


def start_from(components: Components, path: str | Path) -> None:
    """Give the fresh learner of an agent the weights of a policy that Stable-Baselines3 saved.

    The policy acts as it did there; its standard deviation is kept within what ours is bounded
    to. Critics come along where Stable-Baselines3 is the inner learner and rewards are not
    scaled. No code in the file is run.

    Raises `ConfigError` for a file that cannot be read, settings that do not fit it, or a learner
    that learns no such policy.
    """
    read, learner = _read(path), components.meta_learner
    _require_fit(read, components, path)
    own = learner.tensors()
    given = {PREFIX + name: value for name, value in _converted(read, components).items()}
    for name, value in given.items():
        if name not in own or own[name].shape != value.shape:
            found = tuple(own[name].shape) if name in own else "nothing of that name"
            raise ConfigError(
                f"{path} has {name.removeprefix(PREFIX)} of shape {tuple(value.shape)}, and this "
                f"agent's policy has {found}: its family has other spaces, or its learner, "
                f"{_named(components.config)}, learns another kind of policy"
            )
    learner.restore({**own, **{name: v.to(own[name].device) for name, v in given.items()}})


def _read(path: str | Path) -> Pretrained:
    try:
        return read_pretrained(path)
    except ValueError as error:
        raise ConfigError(f"policy.start_from: {error}") from error


def _require_fit(read: Pretrained, components: Components, path: str | Path) -> None:
    config, learner = components.config, components.config.learner
    wanted = {
        "policy.hidden_sizes": read.hidden_sizes,
        "policy.activation": read.activation,
        "policy.normalise_observations": False,
    }
    for name, value in wanted.items():
        own = getattr(config.policy, name.removeprefix("policy."))
        if own != value:
            raise ConfigError(f"{name} is {own}, and the policy in {path} has {value}: set it so")
    if read.n_inputs != components.policy.n_inputs:
        raise ConfigError(
            f"the policy in {path} takes observations of size {read.n_inputs}; this family's have "
            f"{components.policy.n_inputs}"
        )
    inner = learner.sb3_algorithm if learner.algorithm == "sb3_reptile" else "PPO"
    fits = read.algorithm == ("PPO" if inner == "A2C" else inner)
    if learner.algorithm == "context_sac" or not fits:
        raise ConfigError(
            f"{path} holds a policy of {read.algorithm}; {_named(config)} cannot start from it: "
            "maml, fomaml and reptile start from PPO or A2C, sb3_reptile from its own algorithm"
        )


def _named(config: Config) -> str:
    learner = config.learner
    inner = f" over {learner.sb3_algorithm}" if learner.algorithm == "sb3_reptile" else ""
    return f"learner.algorithm {learner.algorithm}{inner}"


def _converted(read: Pretrained, components: Components) -> dict[str, Tensor]:
    """The weights on the scales that ours are on."""
    weights, policy = dict(read.actor), components.policy
    if isinstance(policy, GaussianPolicy) and "log_std" in weights:
        middle, half_range = (value.cpu() for value in policy.scale())
        last = len(read.hidden_sizes)
        weights[f"weight_{last}"] = weights[f"weight_{last}"] / half_range
        weights[f"bias_{last}"] = (weights[f"bias_{last}"] - middle) / half_range
        weights["log_std"] = (weights["log_std"] - half_range.log()).clamp(*LOG_STD_RANGE)
    learner = components.config.learner
    if learner.algorithm == "sb3_reptile" and not learner.sb3_scale_rewards:
        weights |= _others(read.others, components.meta_learner.tensors())
    return weights


def _others(others: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Critics, where they are as large as ours."""
    named = {OTHERS + name: value for name, value in others.items()}
    fits = all(
        PREFIX + name in own and own[PREFIX + name].shape == value.shape
        for name, value in named.items()
    )
    return named if fits else {}
