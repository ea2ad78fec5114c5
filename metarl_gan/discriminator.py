"""The Discriminator: are these transitions of the task that the encoding describes?"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from metarl_gan.generator import over_rows
from metarl_gan.generator_config import DiscriminatorConfig
from metarl_gan.layers import perceptron
from metarl_gan.transition_space import TransitionSpace


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """`logits [tasks, packs]`, high for real transitions; `features [tasks, packs, width]`.

    The features are the last hidden layer's, of which the logits are an affine function.
    """

    logits: Tensor
    features: Tensor


@final
class Discriminator(nn.Module):
    """D(s, a, s', r, terminated | encoding), on `packing` rows of one task at once.

    A pack is judged as a whole, so that a lack of variety among its rows shows (Lin et al. 2018,
    "PacGAN"). A row is one transition, or `window_steps` consecutive ones side by side.
    """

    def __init__(
        self, space: TransitionSpace, encoding_size: int, config: DiscriminatorConfig
    ) -> None:
        super().__init__()
        self.packing = config.packing
        self.transition_size = 2 * space.state_size + space.action_size + 2
        self.row_size = config.window_steps * self.transition_size
        n_inputs = self.packing * self.row_size + encoding_size
        network = perceptron(
            n_inputs,
            config.hidden_sizes,
            1,
            spectral=config.spectral,
            activation=_leaky_relu,
        )
        self.body, self.head = network[:-1], network[-1]

    def forward(self, transitions: Tensor, encoding: Tensor) -> Judgement:
        """Judge `rows // packing` packs per task.

        `transitions [tasks, rows, window_steps * transition_size]`, `encoding [tasks,
        encoding_size]`. Raises `ValueError` as `packs` does.
        """
        return self.judge(self.packs(transitions), encoding)

    def packs(self, transitions: Tensor) -> Tensor:
        """Neighbouring rows of a task side by side: `[tasks, rows // packing, packing * row]`.

        Rows that do not fill a pack are left out. Raises `ValueError` for rows of another width
        and for fewer of them than a pack holds.
        """
        self._check(transitions)
        n_packs = transitions.shape[1] // self.packing
        whole = transitions[:, : n_packs * self.packing]
        return whole.unflatten(1, (n_packs, self.packing)).flatten(2)

    def judge_rows(self, transitions: Tensor, encoding: Tensor) -> Tensor:
        """What each row adds to the logits of the packs that hold it: `[tasks, rows]`.

        A pack's logit is shared equally by its rows, and each row is in as many packs as a pack
        has rows: its part is the mean share. Shapes and errors as in `forward`.
        """
        self._check(transitions)
        stride = _stride(transitions.shape[1])
        shifts = [number * stride for number in range(self.packing)]
        packs = torch.cat([transitions.roll(-shift, dims=1) for shift in shifts], dim=-1)
        logits = self.judge(packs, encoding).logits
        holding = torch.stack([logits.roll(shift, dims=1) for shift in shifts])
        return holding.mean(0) / self.packing

    def judge(self, packs: Tensor, encoding: Tensor) -> Judgement:
        """Judge packs that are made already, `[tasks, packs, packing * row]`."""
        inputs = torch.cat([packs, over_rows(encoding, packs.shape[-2])], dim=-1)
        features = self.body(inputs)
        return Judgement(logits=self.head(features).squeeze(-1), features=features)

    def _check(self, transitions: Tensor) -> None:
        n_rows, row_size = transitions.shape[-2:]
        if row_size != self.row_size:
            raise ValueError(
                f"rows of width {row_size}; this discriminator judges rows of {self.row_size}: "
                f"discriminator.window_steps transitions of {self.transition_size} each"
            )
        if n_rows < self.packing:
            raise ValueError(
                f"{n_rows} rows per task do not fill a pack of discriminator.packing = "
                f"{self.packing}: bring more rows per task (adversarial.targets_per_task) or pack "
                "fewer"
            )


def _leaky_relu() -> nn.Module:
    # SiLU halves small signals in every layer, and under spectral norms none can make up for it:
    # such a discriminator hardly opposes the generator.
    return nn.LeakyReLU(0.2)


def _stride(n_rows: int) -> int:
    """From one row of a pack to the next, so that every row begins a pack of different rows.

    Discriminators learn from rows in random order, but rollouts are judged in theirs: neither
    neighbours in time nor the same step of several rollouts belong in a pack.
    """
    golden = round(0.618 * n_rows)
    return next(stride for stride in range(golden, 0, -1) if math.gcd(stride, n_rows) == 1)


def judged_inputs(
    states: Tensor, actions: Tensor, changes: Tensor, rewards: Tensor, terminated: Tensor
) -> Tensor:
    """One row per transition, `[..., transition_size]`, from normalised parts `[..., size]`.

    `terminated [..., 1]` is a probability, or 0 or 1.
    """
    return torch.cat([states, actions, changes, rewards, terminated], dim=-1)
