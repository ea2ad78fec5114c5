"""Python's and numpy's global random generators, seeded for a while."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def global_generators(seed: int) -> Iterator[None]:
    """Seed both within the `with` block, and leave them afterwards as they were."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the generator that others draw their tasks from
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
