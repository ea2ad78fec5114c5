"""Policies that Stable-Baselines3 trained, read from its files without running code of theirs."""

import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stable_baselines3.common.save_util import load_from_zip_file
from torch import Tensor

from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.sb3_actors import ACTORS, actor_parameters, without_actor

DEFAULT_ACTIVATIONS = {"PPO": "tanh", "SAC": "relu", "TD3": "relu", "DQN": "relu"}
KNOWN_ACTIVATIONS = {"Tanh": "tanh", "ReLU": "relu", "SiLU": "silu"}


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A policy as Stable-Baselines3 has it: raw observations in, its own outputs out.

    Attributes:
        algorithm: "PPO" (A2C's are the same), "SAC", "TD3" or "DQN", by what weights there are.
        activation: Of the hidden layers: "tanh", "relu" or "silu".
        actor: `weight_i [in, out]`, `bias_i [out]` and, of PPO in a `Box`, `log_std [act]`.
        others: Critics and target networks, under the names that they have there.
    """

    algorithm: str
    activation: str
    actor: Parameters
    others: Parameters

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """Widths of the actor's hidden layers."""
        n_layers = sum(name.startswith("weight_") for name in self.actor)
        return tuple(self.actor[f"weight_{layer}"].shape[1] for layer in range(n_layers - 1))

    @property
    def n_inputs(self) -> int:
        """Size of an observation."""
        return self.actor["weight_0"].shape[0]


def read_pretrained(path: str | Path) -> Pretrained:
    """The policy in a `.zip` of Stable-Baselines3.

    Only tensors are loaded, and the rest is read as text: nothing in the file is run, and where
    what it says needs unpickling, it is left alone. Raises `ValueError` for what is no such file,
    or a policy that is no plain perceptron.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is no file; give a .zip that Stable-Baselines3 saved")
    try:
        _, loaded, _ = load_from_zip_file(path, load_data=False, device="cpu")
        described = _described(path)
    except (ValueError, RuntimeError, pickle.UnpicklingError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no model that Stable-Baselines3 saved: {error}") from error
    state = loaded.get("policy")
    if not isinstance(state, Mapping):
        raise ValueError(f"{path} holds no policy; give a .zip that Stable-Baselines3 saved")
    algorithm = _algorithm(state, path)
    return Pretrained(
        algorithm=algorithm,
        activation=_activation(described, algorithm, path),
        actor=actor_parameters(state, algorithm),
        others=without_actor(state, algorithm),
    )


def _described(path: Path) -> Mapping[str, object]:
    """What the file says of its model, as far as it is text."""
    with zipfile.ZipFile(path) as archive:
        if "data" not in archive.namelist():
            return {}
        return json.loads(archive.read("data").decode())


def _algorithm(state: Mapping[str, Tensor], path: Path) -> str:
    odd = [name for name in state if "features_extractor" in name or "lstm" in name]
    found = [
        name
        for name, place in ACTORS.items()
        if name != "A2C" and any(key.startswith(f"{place.stack}.") for key in state)
    ]
    if odd or not found:
        raise ValueError(
            f"the policy in {path} is no plain perceptron (it has {(odd or sorted(state))[0]}); "
            "use MlpPolicy of PPO, A2C, SAC, TD3 or DQN, with at least one hidden layer"
        )
    log_std = state.get("log_std")
    if (log_std is not None and log_std.ndim > 1) or "actor.log_std" in state:
        raise ValueError(f"the policy in {path} explores by use_sde, which is not supported")
    return found[0]


def _activation(described: Mapping[str, object], algorithm: str, path: Path) -> str:
    arguments = described.get("policy_kwargs")
    if not isinstance(arguments, Mapping) or "activation_fn" not in arguments:
        return DEFAULT_ACTIVATIONS[algorithm]
    name = re.sub(r".*\.(\w+)'>$", r"\1", str(arguments["activation_fn"]))
    if name not in KNOWN_ACTIVATIONS:
        raise ValueError(
            f"the policy in {path} has the activation {name}; those known here are "
            f"{', '.join(KNOWN_ACTIVATIONS)}"
        )
    return KNOWN_ACTIVATIONS[name]
