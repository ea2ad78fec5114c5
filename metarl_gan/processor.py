"""What this process takes of the machine: threads of torch, and memory that it holds on to."""

import ctypes
import sys

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of `malloc.h`."""
LARGEST_KEPT, MOST_KEPT = 1 << 28, 1 << 29
"""Bytes: of one tensor whose memory is used again, and of all that is free and yet not given back
to the system."""


def use_processor(torch_threads: int) -> None:
    """Compute with so many threads of torch, in memory that is used again."""
    torch.set_num_threads(torch_threads)
    keep_freed_memory()


def keep_freed_memory() -> bool:
    """Tell the C library to keep the memory of tensors that are freed, for the next ones.

    Otherwise it gives that of large ones back to the system at once, and every step of a loop asks
    for it anew, page by page: up to a quarter of the time of a meta-gradient. Returns whether it
    took that; where it cannot be told so, nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, musl has not
    if set_option is None:
        return False
    options = {M_MMAP_THRESHOLD: LARGEST_KEPT, M_TRIM_THRESHOLD: MOST_KEPT}
    return sum(set_option(option, n_bytes) for option, n_bytes in options.items()) == len(options)
