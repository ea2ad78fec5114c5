"""Denoisers that make data of noise in few steps, after Karras et al. 2022 ("EDM").

All is for data of standard deviation 1, as normalised changes of state and rewards are.
"""

import math
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from metarl_gan.agents.networks import Parameters, through_layers
from metarl_gan.generators.perceptrons import member_perceptrons, perceptron_layers

MEAN_LOG_LEVEL, STD_LOG_LEVEL = -1.2, 0.8
"""Levels of noise trained on are log-normal. Narrower than EDM's: the perceptrons are small, and
with a standard deviation of 1.2 they left a fifth of a bimodal target between its modes."""
LARGEST_LEVEL, SMALLEST_LEVEL = 10.0, 0.05
"""Sampling starts at the largest level and steps from the smallest to 0."""


def denoiser_perceptrons(
    n_members: int, size: int, n_conditions: int, hidden_sizes: tuple[int, ...]
) -> nn.ParameterDict:
    """Fresh weights of a denoiser of `size` numbers: it takes them, their level, conditions."""
    return member_perceptrons(n_members, size + 1 + n_conditions, hidden_sizes, size)


def sampling_levels(n_steps: int) -> tuple[float, ...]:
    """The `n_steps + 1` levels of noise from the largest to 0, all but the last step alike."""
    ratio = SMALLEST_LEVEL / LARGEST_LEVEL
    shares = (step / max(1, n_steps - 1) for step in range(n_steps))
    return (*(LARGEST_LEVEL * ratio**share for share in shares), 0.0)


@final
class Denoiser:
    """The data that noisy ones probably come from, D(x; level | conditions), `[batch, rows, size]`.

    What the first layer makes of the conditions is the same at every level, and computed once.
    """

    def __init__(self, weights: Parameters, name: str, conditions: Tensor) -> None:
        (weight, bias), *rest = perceptron_layers(weights, name)
        n_conditions = conditions.shape[-1]
        split = [weight.shape[-2] - n_conditions, n_conditions]
        self._of_noisy, of_conditions = weight.split(split, dim=-2)
        self._conditioned = torch.baddbmm(bias, conditions, of_conditions)
        self._rest = tuple(rest)

    def sample(self, noise: Tensor, levels: tuple[float, ...]) -> Tensor:
        """Data that standard normal noise flows to; differentiable.

        The probability flow in as many evaluations as `levels` of `sampling_levels` has steps, of
        second order (Lu et al. 2022, "DPM-Solver++", 2M): Euler's method, which goes straight for
        the denoised, loses a fifth of the standard deviation in eight steps.
        """
        noisy, previous = noise * levels[0], None
        for level, following in pairwise(levels):
            denoised = goal = self.denoise(noisy, level)
            if previous is not None and following > 0.0:
                # What the denoised will be half a step on, as steps are alike.
                goal = torch.lerp(previous, denoised, 1.5)
            noisy, previous = torch.lerp(goal, noisy, following / level), denoised
        return noisy

    def denoise(self, noisy: Tensor, level: float) -> Tensor:
        """D(x; level), preconditioned as in EDM, table 1."""
        scale = 1.0 / math.sqrt(level**2 + 1.0)
        scaled = noisy * scale
        # Beside the numbers in one operation.
        inputs = nn.functional.pad(scaled, (0, 1), value=math.log(level) / 4.0)
        return torch.add(scaled * scale, self._network(inputs), alpha=level * scale)

    def loss(self, data: Tensor, normals: Tensor) -> Tensor:
        """EDM's weighted error of the denoised `[batch, rows]`, a mean over components.

        `normals [..., rows, 1 + size]` are standard normal: of them are the levels made, and the
        noises. An untrained network costs about 1.
        """
        log_level = MEAN_LOG_LEVEL + STD_LOG_LEVEL * normals[..., :1]
        level = log_level.exp()
        scale = (level.square() + 1.0).rsqrt()
        noisy = torch.addcmul(data, level, normals[..., 1:])
        inputs = torch.cat([noisy * scale, log_level / 4.0], dim=-1)
        wanted = (data - noisy * scale.square()) / (level * scale)
        return (self._network(inputs) - wanted).square().mean(-1)

    def _network(self, inputs: Tensor) -> Tensor:
        """EDM's F, of numbers scaled to variance 1 beside a quarter of their log-level."""
        hidden = torch.baddbmm(self._conditioned, inputs, self._of_noisy)
        if not self._rest:
            return hidden
        return through_layers(self._rest, nn.functional.silu(hidden), "silu")
