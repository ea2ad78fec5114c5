"""Random numbers of libraries that draw from the process's own generators."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters


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


def global_stream_tensors() -> dict[str, Tensor]:
    """Where the three generators are."""
    _, words, gauss = random.getstate()
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002
    assert isinstance(numpy_state, dict)
    twister = numpy_state["state"]
    held = [0.0, 0.0] if gauss is None else [1.0, gauss]
    return {
        "torch": torch.get_rng_state(),
        "python.words": torch.tensor(words),
        "python.held": torch.tensor(held, dtype=torch.float64),
        "numpy.words": torch.from_numpy(twister["key"].astype(np.int64)),
        "numpy.position": torch.tensor(twister["pos"]),
        "numpy.held": torch.tensor(
            [numpy_state["has_gauss"], numpy_state["gauss"]], dtype=torch.float64
        ),
    }


def restore_global_streams(tensors: Parameters) -> None:
    """Inverse of `global_stream_tensors`."""
    torch.set_rng_state(tensors["torch"])
    has, gauss = tensors["python.held"].tolist()
    words = tuple(tensors["python.words"].tolist())
    random.setstate((random.getstate()[0], words, gauss if has else None))
    has, gauss = tensors["numpy.held"].tolist()
    twister = tensors["numpy.words"].numpy().astype(np.uint32)
    position = int(tensors["numpy.position"])
    np.random.set_state(("MT19937", twister, position, int(has), gauss))  # noqa: NPY002
