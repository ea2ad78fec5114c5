"""Where the weights of an actor are among those of a Stable-Baselines3 policy."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters


@dataclass(frozen=True, kw_only=True)
class ActorPlace:
    """Modules of an actor by name: a stack of layers, and heads on top that lie side by side."""

    stack: str
    heads: tuple[str, ...] = ()


ON_POLICY = ActorPlace(stack="mlp_extractor.policy_net", heads=("action_net",))
ACTORS: Mapping[str, ActorPlace] = {
    "PPO": ON_POLICY,
    "A2C": ON_POLICY,
    "SAC": ActorPlace(stack="actor.latent_pi", heads=("actor.mu", "actor.log_std")),
    "TD3": ActorPlace(stack="actor.mu"),
    "DQN": ActorPlace(stack="q_net.q_net"),
}
"""By algorithm. An actor without heads ends with the last layer of its stack."""


def actor_parameters(state: Parameters, algorithm: str) -> dict[str, Tensor]:
    """The actor of a policy's state dictionary, under our names and without a task axis.

    Weights are `weight_i [in, out]`; outputs of heads lie side by side. `log_std [act]` is there
    where it depends on no state.
    """
    parameters = {}
    for layer, modules in enumerate(_layers(state, algorithm)):
        weights = [state[f"{module}.weight"] for module in modules]
        parameters[f"weight_{layer}"] = torch.cat(weights).T.clone()
        parameters[f"bias_{layer}"] = torch.cat([state[f"{module}.bias"] for module in modules])
    if "log_std" in state:
        parameters["log_std"] = state["log_std"].clone()
    return parameters


def with_actor(state: Parameters, parameters: Parameters, algorithm: str) -> dict[str, Tensor]:
    """A policy's state dictionary with another actor, given under our names."""
    changed = dict(state)
    for layer, modules in enumerate(_layers(state, algorithm)):
        n_heads = len(modules)
        weights = parameters[f"weight_{layer}"].T.chunk(n_heads)
        biases = parameters[f"bias_{layer}"].chunk(n_heads)
        for module, weight, bias in zip(modules, weights, biases, strict=True):
            changed[f"{module}.weight"], changed[f"{module}.bias"] = weight, bias
    if "log_std" in state:
        changed["log_std"] = parameters["log_std"]
    return changed


def without_actor(state: Parameters, algorithm: str) -> dict[str, Tensor]:
    """The rest of a policy's state dictionary: critics and target networks."""
    modules = {module for layer in _layers(state, algorithm) for module in layer}
    return {
        name: value
        for name, value in state.items()
        if name != "log_std" and name.rpartition(".")[0] not in modules
    }


def _layers(state: Parameters, algorithm: str) -> list[tuple[str, ...]]:
    """Names of the modules of each layer, from input to output."""
    place = ACTORS[algorithm]
    numbers = {
        int(name.removeprefix(f"{place.stack}.").partition(".")[0])
        for name in state
        if name.startswith(f"{place.stack}.")
    }
    layers: list[tuple[str, ...]] = [(f"{place.stack}.{number}",) for number in sorted(numbers)]
    return layers + [place.heads] * bool(place.heads)
