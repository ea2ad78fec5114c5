"""Cosines between inner gradients and true ones, of all tasks at once."""

import torch
from torch import Tensor


def own_cosines(gradients: Tensor, true: Tensor) -> Tensor:
    """Cosine `[tasks]` of each task's gradient to its true one, both `[tasks, parameters]`.

    0 for a gradient that vanished, NaN where the true one did: there is nothing to point to.
    """
    return _all_cosines(gradients, true).diagonal().clone()


def others_cosines(gradients: Tensor, true: Tensor) -> Tensor:
    """Mean cosine `[tasks]` of the other tasks' gradients to a task's true one.

    NaN if there is no other task.
    """
    cosines = _all_cosines(gradients, true)
    n_tasks = len(cosines)
    if n_tasks == 1:
        return torch.full_like(cosines[0], torch.nan)
    return (cosines.sum(0) - cosines.diagonal()) / (n_tasks - 1)


def _all_cosines(gradients: Tensor, true: Tensor) -> Tensor:
    """`[tasks, tasks]`: of the row's gradient to the column's true one."""
    norms = true.norm(dim=1, keepdim=True)
    directions = torch.where(norms == 0, torch.nan, true / norms)
    return torch.nn.functional.normalize(gradients, dim=1) @ directions.mT
