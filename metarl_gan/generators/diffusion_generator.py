"""A small denoising diffusion of transitions."""

from typing import final

import torch
from torch import Tensor, nn

from metarl_gan.agents.networks import Parameters
from metarl_gan.generator import Generator, RowLosses
from metarl_gan.generator_config import GeneratorConfig
from metarl_gan.generators.denoiser import Denoiser, denoiser_perceptrons, sampling_levels
from metarl_gan.generators.perceptrons import member_perceptrons, through_perceptrons
from metarl_gan.transition_space import Rows, TransitionSpace

FIXED_ROWS = 1024
"""How many fixed levels and noises there are, for losses without a stream."""
HASH_FACTOR, HASH_SHIFT = 2_654_435_761, 16
"""Knuth's multiplicative hash: the upper bits of a product depend on all bits of the number."""


@final
class DiffusionGenerator(Generator):
    """Change of state and reward by a denoiser each, termination by a perceptron of its own.

    What is generated is a function of the noise that denoising starts from: without noise, one
    likely outcome, and not the mean of them.
    """

    fixed_dynamics: Tensor
    fixed_reward: Tensor

    def __init__(self, space: TransitionSpace, encoding_size: int, config: GeneratorConfig) -> None:
        super().__init__(space, encoding_size, config.members)
        states = space.state_size
        self._levels = sampling_levels(config.diffusion_steps)
        conditions, hidden = states + space.action_size + encoding_size, config.hidden_sizes
        self.dynamics = denoiser_perceptrons(config.members, states, conditions, hidden)
        self.reward = denoiser_perceptrons(config.members, 1, conditions + states, hidden)
        self.termination = member_perceptrons(config.members, conditions + states, hidden, 1)
        self.register_buffer("fixed_dynamics", _fixed_normals(1 + states), persistent=False)
        self.register_buffer("fixed_reward", _fixed_normals(2), persistent=False)

    @property
    def noise_size(self) -> int:
        return self.state_size

    @property
    def reward_noise_size(self) -> int:
        return 1

    def transition(self, weights: Parameters, inputs: Tensor) -> tuple[Tensor, Tensor]:
        n_conditions = inputs.shape[-1] - self.noise_size
        conditions, noise = inputs.split([n_conditions, self.noise_size], dim=-1)
        changes = Denoiser(weights, "dynamics", conditions).sample(noise, self._levels)
        judged = torch.cat([conditions, changes], dim=-1)
        return changes, through_perceptrons(weights, "termination", judged)

    def rewards(
        self,
        weights: Parameters,
        states: Tensor,
        actions: Tensor,
        changes: Tensor,
        encoding: Tensor,
        noise: Tensor,
    ) -> Tensor:
        conditions = torch.cat([states, actions, encoding, changes], dim=-1)
        return Denoiser(weights, "reward", conditions).sample(noise, self._levels)

    def losses(
        self, weights: Parameters, rows: Rows, encoding: Tensor, stream: torch.Generator | None
    ) -> RowLosses:
        """Errors of denoising, each row at a level of its own.

        Without a stream, levels and noises are fixed by what a row holds: neither its place nor
        the rest of the batch matters.
        """
        conditions = torch.cat([rows.states, rows.actions, encoding], dim=-1)
        judged = torch.cat([conditions, rows.changes], dim=-1)
        dynamics = Denoiser(weights, "dynamics", conditions)
        reward = Denoiser(weights, "reward", judged)
        terminated = nn.functional.binary_cross_entropy_with_logits(
            through_perceptrons(weights, "termination", judged), rows.terminated, reduction="none"
        )
        held = torch.cat([rows.states, rows.actions, rows.changes, rows.rewards], dim=-1)
        of_state = _normals(held, self.fixed_dynamics, stream)
        of_reward = _normals(held, self.fixed_reward, stream)
        return RowLosses(
            state=dynamics.loss(rows.changes, of_state),
            reward=reward.loss(rows.rewards, of_reward),
            terminated=terminated.squeeze(-1),
        )


def _normals(held: Tensor, fixed: Tensor, stream: torch.Generator | None) -> Tensor:
    """Standard normals `[batch, rows, 1 + size]`: without a stream, the fixed ones of each row."""
    if stream is None:
        return fixed[fixed_places(held)].to(held)
    shape = (*held.shape[:-1], fixed.shape[-1])
    return torch.randn(shape, generator=stream, device=held.device, dtype=held.dtype)


def fixed_places(held: Tensor) -> Tensor:
    """Which of the fixed normals rows `[..., size]` get: a hash of their numbers, `[...]`.

    As good as drawn, and always the same for the same row, whatever is beside it.
    """
    bits = held.detach().to(torch.float32).contiguous().view(torch.int32).long()
    factors = torch.arange(1, bits.shape[-1] + 1, device=bits.device) * HASH_FACTOR
    return (bits * factors).sum(-1).bitwise_right_shift(HASH_SHIFT) % FIXED_ROWS


def _fixed_normals(size: int) -> Tensor:
    """Quasi-random standard normals `[FIXED_ROWS, size]`, as many of the first as are needed."""
    points = torch.quasirandom.SobolEngine(size, scramble=True, seed=0).draw(FIXED_ROWS)
    return torch.special.ndtri(points.clamp(1e-6, 1.0 - 1e-6))
