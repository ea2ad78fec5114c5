"""Task descriptors as the networks take them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from metarl_gan.envs.task import Task


def descriptors_of(tasks: Sequence[Task], device: torch.device) -> Tensor:
    """`[tasks, size]`, as the family describes them."""
    return torch.from_numpy(np.stack([task.descriptor for task in tasks])).to(device)
