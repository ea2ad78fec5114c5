"""The record that stepping environments yields."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from torch import Tensor

_AXES = {"tasks": 0, "envs": 1}
_FLAGS = ("terminated", "truncated", "valid", "generated")


@dataclass(frozen=True, kw_only=True, eq=False)
class Transitions:
    """Transitions with leading axes `[tasks, envs, time]`, real and generated.

    Attributes:
        observations: Float `[tasks, envs, time, obs]`.
        actions: Float `[tasks, envs, time, act]` as sampled, not clipped; int64
            `[tasks, envs, time]` for `Discrete` actions. Those of several parts are rows of
            `HybridActions`.
        rewards: Float `[tasks, envs, time]`.
        next_observations: Float `[tasks, envs, time, obs]`: what the step reached, also where
            it ended the episode.
        terminated: Bool: the task ended here; nothing follows that could be worth anything.
        truncated: Bool: the time limit cut the episode here.
        valid: Bool: False on rows after the end of an episode.
        log_probs: Float: of the action under the policy that sampled it.
        generated: Bool: True on rows from a generator, False on real ones.

    Raises:
        ValueError: Shapes or types do not fit; the message names the field.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    terminated: Tensor
    truncated: Tensor
    valid: Tensor
    log_probs: Tensor
    generated: Tensor

    def __post_init__(self) -> None:
        if self.observations.ndim != 4:
            raise ValueError(
                f"observations have shape {tuple(self.observations.shape)}; "
                "expected [tasks, envs, time, obs]"
            )
        leading = self.observations.shape[:3]
        expected = {
            "next_observations": self.observations.shape,
            "rewards": leading,
            "log_probs": leading,
            **dict.fromkeys(_FLAGS, leading),
        }
        for name, shape in expected.items():
            self._require(name, getattr(self, name).shape == shape, f"shape {tuple(shape)}")
        for name in _FLAGS:
            self._require(name, getattr(self, name).dtype == torch.bool, "type torch.bool")
        discrete = self.actions.dtype == torch.int64
        fits = self.actions.shape[:3] == leading and self.actions.ndim == (3 if discrete else 4)
        wanted = f"float of shape {(*leading, 'act')} or torch.int64 of shape {tuple(leading)}"
        self._require("actions", fits and (discrete or self.actions.is_floating_point()), wanted)

    def _require(self, name: str, fits: bool, expected: str) -> None:
        if not fits:
            tensor: Tensor = getattr(self, name)
            raise ValueError(
                f"{name} have shape {tuple(tensor.shape)} and type {tensor.dtype}; expected "
                f"{expected} beside observations of shape {tuple(self.observations.shape)}"
            )

    @property
    def n_tasks(self) -> int:
        """The length of the leading axis."""
        return self.observations.shape[0]

    def n_valid(self) -> int:
        """How many rows are transitions, over all tasks; waits for the device."""
        return int(self.valid.sum())

    def returns(self) -> Tensor:
        """The undiscounted return of each episode, `[tasks, envs]`."""
        return torch.where(self.valid, self.rewards, 0.0).sum(-1)

    def select(self, tasks: int | slice | Tensor) -> "Transitions":
        """Only these tasks; the task axis stays, with length 1 for a single index."""
        if isinstance(tasks, int):
            if not -self.n_tasks <= tasks < self.n_tasks:
                raise IndexError(f"task {tasks} of {self.n_tasks}")
            tasks = slice(tasks % self.n_tasks, tasks % self.n_tasks + 1)
        return self._map(lambda tensor: tensor[tasks])

    def take_envs(self, envs: slice | Tensor) -> "Transitions":
        """Only these environments of every task."""
        return self._map(lambda tensor: tensor[:, envs])

    def first_steps(self, n_steps: int) -> "Transitions":
        """Episodes cut after `n_steps`, as by a time limit; shorter ones stay as they are."""
        cut = self._map(lambda value: value[:, :, :n_steps])
        truncated = cut.truncated.clone()
        truncated[:, :, -1] |= cut.valid[:, :, -1] & ~cut.terminated[:, :, -1]
        return replace(cut, truncated=truncated)

    def to(self, device: torch.device | str) -> "Transitions":
        """The same transitions on `device`."""
        return self._map(lambda tensor: tensor.to(device))

    @staticmethod
    def cat(parts: "Sequence[Transitions]", dim: Literal["tasks", "envs"]) -> "Transitions":
        """Join along the task axis or the environment axis.

        Raises `ValueError` for no parts, another `dim`, or parts that differ elsewhere.
        """
        if dim not in _AXES or not parts:
            raise ValueError(
                f"cat of {len(parts)} parts along {dim!r}; give at least one, and {list(_AXES)}"
            )
        columns = {}
        for field in fields(Transitions):
            tensors = [getattr(part, field.name) for part in parts]
            rests = {
                (*tensor.shape[: _AXES[dim]], *tensor.shape[_AXES[dim] + 1 :]) for tensor in tensors
            }
            if len(rests) > 1:
                shapes = [tuple(tensor.shape) for tensor in tensors]
                raise ValueError(f"cat along {dim!r}: {field.name} have shapes {shapes}")
            columns[field.name] = torch.cat(tensors, dim=_AXES[dim])
        return Transitions(**columns)

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Transitions":
        return replace(
            self, **{field.name: change(getattr(self, field.name)) for field in fields(self)}
        )
