"""A model of Stable-Baselines3 in the middle of its training, as named tensors.

Its own `.zip` holds pickles, and says nothing of what was played or of where the environments are.
"""

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.save_util import recursive_getattr
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor

from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.optimisers import optimiser_tensors, restore_optimiser, with_prefix

COUNTERS = ("num_timesteps", "_n_updates")
SEEN = ("_last_obs", "_last_original_obs", "_last_episode_starts")
"""What the next step is taken from."""
REPLAYED = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def model_tensors(model: BaseAlgorithm) -> dict[str, Tensor]:
    """A copy of weights, optimisers, counters, what was seen last, and the replay if there is one.

    Inverse: `restore_model`. What a rollout has collected so far is not in it.
    """
    modules, variables = model._get_torch_save_params()  # noqa: SLF001
    found: dict[str, Tensor] = {}
    for name in modules:
        part = recursive_getattr(model, name)
        optimises = isinstance(part, torch.optim.Optimizer)
        tensors = optimiser_tensors(part) if optimises else part.state_dict()
        found.update({f"{name}:{key}": value.detach() for key, value in tensors.items()})
    found.update({name: recursive_getattr(model, name).detach() for name in variables})
    found.update({name: torch.tensor(getattr(model, name)) for name in COUNTERS})
    found.update({name: _tensor(v) for name in SEEN if (v := getattr(model, name)) is not None})
    if isinstance(model, OffPolicyAlgorithm):
        found.update(_replay_tensors(_replay(model)))
    return {name: value.clone() for name, value in found.items()}


@torch.no_grad()
def restore_model(model: BaseAlgorithm, tensors: Parameters) -> None:
    """Go on from `model_tensors` of a model that was made alike."""
    modules, variables = model._get_torch_save_params()  # noqa: SLF001
    for name in modules:
        part, own = recursive_getattr(model, name), with_prefix(tensors, f"{name}:")
        if isinstance(part, torch.optim.Optimizer):
            restore_optimiser(part, own)
        else:
            part.load_state_dict(own)
    for name in variables:
        recursive_getattr(model, name).copy_(tensors[name])
    for name in COUNTERS:
        setattr(model, name, int(tensors[name]))
    for name in SEEN:
        if name in tensors:
            setattr(model, name, tensors[name].numpy().copy())
    if isinstance(model, OffPolicyAlgorithm):
        _restore_replay(_replay(model), tensors)


def scale_tensors(scale: VecNormalize) -> dict[str, Tensor]:
    """A copy of the running statistics of observations and of returns."""
    found: dict[str, Tensor] = {"returns": _tensor(scale.returns)}
    for name in ("obs_rms", "ret_rms"):
        statistics = getattr(scale, name)
        for key in ("mean", "var", "count"):
            found[f"{name}.{key}"] = _tensor(np.asarray(getattr(statistics, key)))
    return found


def restore_scale(scale: VecNormalize, tensors: Parameters) -> None:
    """Inverse of `scale_tensors`."""
    scale.returns = tensors["returns"].numpy().copy()
    for name in ("obs_rms", "ret_rms"):
        statistics = getattr(scale, name)
        statistics.mean = tensors[f"{name}.mean"].numpy().copy()
        statistics.var = tensors[f"{name}.var"].numpy().copy()
        statistics.count = float(tensors[f"{name}.count"])


def _replay(model: OffPolicyAlgorithm) -> ReplayBuffer:
    assert isinstance(model.replay_buffer, ReplayBuffer)  # observations are one Box
    return model.replay_buffer


def _replay_tensors(replay: ReplayBuffer) -> dict[str, Tensor]:
    """The rows that were filled, oldest first where none was overwritten yet."""
    rows = {name: _tensor(getattr(replay, name)[: replay.size()]) for name in REPLAYED}
    return {**rows, "position": torch.tensor(replay.pos), "full": torch.tensor(replay.full)}


def _restore_replay(replay: ReplayBuffer, tensors: Parameters) -> None:
    for name in REPLAYED:
        getattr(replay, name)[: len(tensors[name])] = tensors[name].numpy()
    replay.pos, replay.full = int(tensors["position"]), bool(tensors["full"])


def _tensor(values: object) -> Tensor:
    return torch.from_numpy(np.array(values))
