"""Execution: in which parts the tasks of a meta-batch are computed, and by which threads."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, final

import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters
from metarl_gan.envs.stepping.processors import available_processors
from metarl_gan.processor import even_parts, shared_out

ExecutionName = Literal["auto", "batched", "looped", "threads"]
Result = TypeVar("Result")

Loss = Callable[[Parameters, slice], Tensor]
"""From what all tasks share, without a task axis, and some tasks of a batch: their part of its
loss, a scalar. The parts add up to the whole."""
PerTask = Callable[[slice], dict[str, Tensor]]
"""From some tasks of a batch to tensors `[those tasks, ...]`, by name."""

ALL = slice(None)
PART_VALUES = 8192 * 64
"""Most values of one layer in a part of several tasks: more do not stay in a processor's cache."""
SPLIT_VALUES = 1536 * 64
"""Values of one layer from which on it pays to give every thread a part."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much there is to compute: rows of a task at once, and values of a row in a layer."""

    n_tasks: int
    n_rows: int
    width: int

    @property
    def values(self) -> int:
        """Values of one layer, of all tasks."""
        return self.n_tasks * self.n_rows * self.width


class Execution(ABC):
    """The role: compute a function of a batch of tasks, all at once or some after others.

    Which parts there are depends on nothing but the size of the batch and settings, and results
    are put together in the order of tasks: the same settings give the same numbers, whoever
    computes which part, and whenever.
    """

    @abstractmethod
    def results(self, function: Callable[[slice], Result], size: Size) -> list[Result]:
        """`function` of every part of the tasks, in the order of tasks."""

    def gradient(
        self, loss: Loss, shared: Parameters, size: Size
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A loss of all tasks, and its gradient with respect to what they share.

        Neither has a graph. `shared` tensors that require no gradient get none: only the others'
        names are in the result. What the loss does not depend on gets zeros.
        """
        names = [name for name, value in shared.items() if value.requires_grad]

        def part(tasks: slice) -> tuple[Tensor, ...]:
            # Leaves of its own, so that no two threads work in one graph.
            own = {**shared, **{name: shared[name].detach().requires_grad_() for name in names}}
            with torch.enable_grad():
                found = loss(own, tasks)
            leaves = [own[name] for name in names]
            return (found.detach(), *torch.autograd.grad(found, leaves, materialize_grads=True))

        total, *gradient = (_sum(each) for each in zip(*self.results(part, size), strict=True))
        return total, dict(zip(names, gradient, strict=True))

    def per_task(self, function: PerTask, size: Size) -> dict[str, Tensor]:
        """What `function` gives for all tasks, `[tasks, ...]`, without graph."""

        def part(tasks: slice) -> dict[str, Tensor]:
            return {name: value.detach() for name, value in function(tasks).items()}

        parts = self.results(part, size)
        if len(parts) == 1:
            return parts[0]
        return {name: torch.cat([one[name] for one in parts]) for name in parts[0]}


@final
class Batched(Execution):
    """All tasks at once."""

    def results(self, function: Callable[[slice], Result], size: Size) -> list[Result]:
        return [function(ALL)]


@final
class InParts(Execution):
    """Parts of a size that caches and allocators like, each with one thread of torch.

    Args:
        n_threads: What the number of parts is made a multiple of. Only what is large and cannot
            be parted, as one task cannot, is left to the threads that torch has itself.
        concurrent: Compute as many parts at a time, or as there are processors; torch lets go of
            Python's lock in its kernels and in all of the backward pass. Otherwise one by one:
            the results are the same, to the bit.
    """

    def __init__(self, *, n_threads: int, concurrent: bool) -> None:
        self.n_threads = n_threads
        self.concurrent = concurrent

    def results(self, function: Callable[[slice], Result], size: Size) -> list[Result]:
        parts = parts_of(size, self.n_threads)
        at_once = min(self.n_threads, len(parts), available_processors())
        if len(parts) == 1:
            parts = [ALL]
            if size.values >= SPLIT_VALUES:
                return [function(ALL)]
        return shared_out(function, parts, at_once if self.concurrent else 1)


def make_execution(
    name: ExecutionName, *, n_threads: int = 1, device: torch.device | str = "cpu"
) -> Execution:
    """The execution of that name; `auto` is all tasks at once on a GPU, else in parts.

    `n_threads` is the most that may be used. A batch that is small is one part in any case.
    """
    if name == "batched" or (name == "auto" and torch.device(device).type != "cpu"):
        return Batched()
    return InParts(n_threads=n_threads, concurrent=name != "looped")


def parts_of(size: Size, n_threads: int) -> list[slice]:
    """Consecutive tasks, as equally many in each part as there can be.

    As few parts as keep each within `PART_VALUES` or at one task; at least one for every thread
    from `SPLIT_VALUES` on, and as many for each.
    """
    n_parts = -(-size.values // PART_VALUES)
    if size.values >= SPLIT_VALUES:
        n_parts = -(-n_parts // n_threads) * n_threads
    return even_parts(size.n_tasks, max(1, min(n_parts, size.n_tasks)))


def _sum(parts: Sequence[Tensor]) -> Tensor:
    """From first to last: a tree of sums could be another for another number of threads."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
