"""Which member of a generator serves which row."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Turns:
    """Members take turns over the rows of every task: row `r` is member `r % n_members`'s.

    Members share rows: with weights of their own, `[members, tasks * rows, size]`; with weights
    that adapted to a task each, `[members * tasks, rows, size]`.
    """

    n_members: int
    n_tasks: int
    n_rows: int
    adapted: bool

    @property
    def rows_each(self) -> int:
        """Rows of a task that one member serves; the last turn may be padded."""
        return -(-self.n_rows // self.n_members)

    def split(self, values: Tensor) -> Tensor:
        """From `[tasks, rows, size]` to how the networks take it, `[batch, rows, size]`."""
        missing = self.rows_each * self.n_members - self.n_rows
        if missing:
            last = values[:, -1:].expand(-1, missing, -1)
            values = torch.cat([values, last], dim=1)
        turns = values.unflatten(1, (self.rows_each, self.n_members)).movedim(2, 0)
        return turns.flatten(0, 1) if self.adapted else turns.flatten(1, 2)

    def join(self, values: Tensor) -> Tensor:
        """Inverse of `split`."""
        if self.adapted:
            turns = values.unflatten(0, (self.n_members, self.n_tasks))
        else:
            turns = values.unflatten(1, (self.n_tasks, self.rows_each))
        return turns.movedim(0, 2).flatten(1, 2)[:, : self.n_rows]
