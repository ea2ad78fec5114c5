"""Optimiser state as named tensors, which is all that a safe checkpoint can hold."""

from collections.abc import Mapping

import torch
from torch import Tensor


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of an optimiser by `<parameter index>.<name>`; every entry must be a tensor."""
    state = optimiser.state_dict()["state"]
    return {f"{index}.{name}": v for index, entry in state.items() for name, v in entry.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Inverse of `optimiser_tensors`; the hyper-parameters stay those of `optimiser`.

    Raises `ValueError` for a tensor that belongs to no parameter; torch would take it in silence.
    """
    parameters = [value for group in optimiser.param_groups for value in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        shapes = [parameters[int(index)].shape, ()] if int(index) < len(parameters) else []
        if value.shape not in shapes:
            raise ValueError(f"no parameter has an optimiser's {key} {tuple(value.shape)}")
        state.setdefault(int(index), {})[name] = value.clone()
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose names start with `prefix`, without it."""
    return {name[len(prefix) :]: v for name, v in tensors.items() if name.startswith(prefix)}
