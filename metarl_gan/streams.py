"""Random streams by name and counter: the state of all randomness is the counters alone.

A stream depends only on the seed, its name and its index, so that resuming needs no saved
generator state, and drawing more or less in one role never shifts another. That is what makes
an agent with a share of 0 bit-identical to one without the generator.
"""

import zlib
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Streams:
    """All random streams of one seed."""

    seed: int
    device: torch.device = torch.device("cpu")

    def integer(self, name: str, index: int = 0) -> int:
        """A seed in `[0, 2**31)` for whatever takes an integer seed."""
        words = (self.seed, zlib.crc32(name.encode()), index)
        return int(np.random.SeedSequence(words).generate_state(1)[0] >> 1)

    def torch(self, name: str, index: int = 0) -> torch.Generator:
        """A fresh torch generator on the device, at the start of the named stream."""
        generator = torch.Generator(device=self.device)
        return generator.manual_seed(self.integer(name, index))
