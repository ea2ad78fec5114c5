"""What this process takes of the machine: threads of torch, and memory that it holds on to."""

import ctypes
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")

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


def even_parts(n_items: int, n_parts: int) -> list[slice]:
    """Consecutive items, as equally many in each part as there can be."""
    ends = [n_items * place // n_parts for place in range(n_parts + 1)]
    return [slice(first, last) for first, last in pairwise(ends)]


def shared_out(
    function: Callable[[Part], Result], parts: Sequence[Part], n_threads: int
) -> list[Result]:
    """`function` of all parts, in their order, each with one thread of torch.

    Torch lets go of Python's lock in its kernels and in all of the backward pass, so that several
    threads with a part each are faster than torch's own threads inside every small operation. No
    part may share out in its turn: inside of one, `torch.get_num_threads()` is 1.

    Args:
        function: what to compute; must not care which thread does, nor when.
        parts: of what.
        n_threads: that compute parts, whichever is free: this one, and `n_threads - 1` others.
            This one works instead of waiting: a system that has to wake two threads of an idle
            pool may well put both on one processor.
    """
    with _one_torch_thread():
        if min(n_threads, len(parts)) == 1:
            return [function(part) for part in parts]
        return _by_threads(function, parts, n_threads)


def _by_threads(
    function: Callable[[Part], Result], parts: Sequence[Part], n_threads: int
) -> list[Result]:
    found: dict[int, Result] = {}
    left = list(reversed(range(len(parts))))

    def work() -> None:
        while left:
            try:
                place = left.pop()
            except IndexError:  # another thread was faster
                return
            found[place] = function(parts[place])

    others = [_workers(n_threads - 1).submit(work) for _ in range(n_threads - 1)]
    try:
        work()
    finally:
        left.clear()
        wait(others)
    for other in others:
        other.result()
    return [found[place] for place in range(len(parts))]


@lru_cache(maxsize=1)
def _workers(n_threads: int) -> ThreadPoolExecutor:
    """Threads that stay: one that ends gives its memory back, and the next has to ask for it."""
    return ThreadPoolExecutor(
        n_threads, thread_name_prefix="metarl-gan", initializer=_take_one_torch_thread
    )


os.register_at_fork(after_in_child=_workers.cache_clear)


def _take_one_torch_thread() -> None:
    # Of this thread alone. What asks first takes over what another thread set last.
    torch.get_num_threads()
    torch.set_num_threads(1)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
