"""Random numbers of libraries that draw from the process's own generators."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def global_streams(seed: int) -> Iterator[None]:
    """Python's, numpy's and torch's global generators start at `seed`, and are put back after.

    For Stable-Baselines3, which knows no others; of torch's, those of the CPU.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
