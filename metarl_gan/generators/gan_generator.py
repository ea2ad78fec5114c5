"""The GAN's own generator: a perceptron that takes z along."""

from typing import final

import torch
from torch import Tensor, nn

from metarl_gan.agents.networks import Parameters
from metarl_gan.generator import Generator, RowLosses
from metarl_gan.generator_config import GeneratorConfig
from metarl_gan.generators.energy_score import energy_score
from metarl_gan.generators.perceptrons import member_perceptrons, through_perceptrons
from metarl_gan.transition_space import Rows, TransitionSpace

STATE_BETA, REWARD_BETA = 0.5, 0.1
"""Errors below this, in standard deviations, count by their square, larger ones linearly."""


@final
class GanGenerator(Generator):
    """Next state and termination from one perceptron, the reward from another.

    With several `anchor_samples`, that many draws of z are held against each real row by their
    energy score, which does not pull outcomes that differ by chance to their mean. Where no noise
    is drawn, these draws are the same for all rows.
    """

    fixed_noise: Tensor

    def __init__(
        self,
        space: TransitionSpace,
        encoding_size: int,
        config: GeneratorConfig,
        anchor_samples: int = 1,
    ) -> None:
        super().__init__(space, encoding_size, config.members)
        self._noise_size = config.noise_size
        draws = anchor_samples if config.noise_size else 1
        self.register_buffer("fixed_noise", _fixed_noise(draws, self._noise_size), persistent=False)
        conditions = space.state_size + space.action_size + encoding_size
        hidden = config.hidden_sizes
        self.dynamics = member_perceptrons(
            config.members, conditions + config.noise_size, hidden, space.state_size + 1
        )
        self.reward = member_perceptrons(config.members, conditions + space.state_size, hidden, 1)

    @property
    def noise_size(self) -> int:
        return self._noise_size

    def transition(self, weights: Parameters, inputs: Tensor) -> tuple[Tensor, Tensor]:
        outputs = through_perceptrons(weights, "dynamics", inputs)
        return outputs[..., : self.state_size], outputs[..., self.state_size :]

    def rewards(
        self,
        weights: Parameters,
        states: Tensor,
        actions: Tensor,
        changes: Tensor,
        encoding: Tensor,
        noise: Tensor,
    ) -> Tensor:
        inputs = torch.cat([states, actions, changes, encoding], dim=-1)
        return through_perceptrons(weights, "reward", inputs)

    def losses(
        self, weights: Parameters, rows: Rows, encoding: Tensor, stream: torch.Generator | None
    ) -> RowLosses:
        noise = self._noise(rows, stream)
        draws, n_rows = noise.shape[1:3]
        conditions = torch.cat([rows.states, rows.actions, encoding], dim=-1)
        spread = conditions.unsqueeze(1).expand(-1, draws, -1, -1)
        inputs = torch.cat([spread, noise], dim=-1).flatten(1, 2)
        changes, logits = (
            value.unflatten(1, (draws, n_rows)) for value in self.transition(weights, inputs)
        )
        no_noise = encoding[..., :0]
        rewards = self.rewards(weights, rows.states, rows.actions, rows.changes, encoding, no_noise)
        reward = _smooth_l1(rewards, rows.rewards, REWARD_BETA).squeeze(-1)
        terminated = nn.functional.binary_cross_entropy_with_logits(
            logits, rows.terminated.unsqueeze(1).expand_as(logits), reduction="none"
        )
        return RowLosses(
            state=_state_loss(changes, rows.changes),
            reward=reward,
            terminated=terminated.squeeze(-1).mean(1),
        )

    def _noise(self, rows: Rows, stream: torch.Generator | None) -> Tensor:
        """The draws that each row is held against, `[batch, draws, rows, noise_size]`."""
        (n_batch, n_rows), device = rows.valid.shape, rows.changes.device
        if stream is None:
            fixed = self.fixed_noise.to(rows.changes.dtype)
            return fixed[None, :, None].expand(n_batch, -1, n_rows, -1)
        shape = (n_batch, len(self.fixed_noise), n_rows, self._noise_size)
        return torch.randn(shape, generator=stream, device=device)


def _fixed_noise(draws: int, size: int) -> Tensor:
    """The same z for every row, `[draws, size]`: 0, or several that are spread as z is."""
    if draws == 1:
        return torch.zeros(1, size)
    # Sobol's points are corners of the cells that they stand for.
    corners = torch.quasirandom.SobolEngine(size).draw(draws)
    return torch.special.ndtri(corners + 0.5 / draws)


def _state_loss(changes: Tensor, real: Tensor) -> Tensor:
    """What draws `[batch, draws, rows, size]` cost where `real [batch, rows, size]` happened."""
    if changes.shape[1] == 1:
        return _smooth_l1(changes.squeeze(1), real, STATE_BETA).mean(-1)
    return energy_score(changes, real)


def _smooth_l1(prediction: Tensor, target: Tensor, beta: float) -> Tensor:
    return nn.functional.smooth_l1_loss(prediction, target, beta=beta, reduction="none")
