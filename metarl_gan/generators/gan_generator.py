"""The GAN's own generator: a perceptron that takes z along."""

from typing import final

import torch
from torch import Tensor, nn

from metarl_gan.agents.networks import Parameters
from metarl_gan.generator import Generator, RowLosses
from metarl_gan.generator_config import GeneratorConfig
from metarl_gan.generators.perceptrons import member_perceptrons, through_perceptrons
from metarl_gan.transition_space import Rows, TransitionSpace

STATE_BETA, REWARD_BETA = 0.5, 0.1
"""Errors below this, in standard deviations, count by their square, larger ones linearly."""


@final
class GanGenerator(Generator):
    """Next state and termination from one perceptron, the reward from another.

    `anchor_samples` draws of z compete for each real row, and the nearest is what the row costs:
    an anchor that does not pull outcomes which differ by chance to their mean (Li & Malik 2018,
    "Implicit maximum likelihood estimation").
    """

    def __init__(
        self,
        space: TransitionSpace,
        encoding_size: int,
        config: GeneratorConfig,
        anchor_samples: int = 1,
    ) -> None:
        super().__init__(space, encoding_size, config.members)
        self._noise_size = config.noise_size
        self._anchor_samples = anchor_samples
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
        state, logits = self._nearest(weights, rows, encoding, stream)
        no_noise = encoding[..., :0]
        rewards = self.rewards(weights, rows.states, rows.actions, rows.changes, encoding, no_noise)
        reward = _smooth_l1(rewards, rows.rewards, REWARD_BETA).squeeze(-1)
        terminated = nn.functional.binary_cross_entropy_with_logits(
            logits, rows.terminated, reduction="none"
        ).squeeze(-1)
        return RowLosses(state=state, reward=reward, terminated=terminated)

    def _nearest(
        self, weights: Parameters, rows: Rows, encoding: Tensor, stream: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Loss of the state `[batch, rows]` and logits of termination, of the nearest draw."""
        conditions = torch.cat([rows.states, rows.actions, encoding], dim=-1)
        draws = self._anchor_samples if stream is not None and self._noise_size else 1
        n_batch, n_rows = conditions.shape[:2]
        shape = (n_batch, draws, n_rows, self._noise_size)
        noise = conditions.new_zeros(shape)
        if stream is not None:
            noise = torch.randn(shape, generator=stream, device=conditions.device)
        spread = conditions.unsqueeze(1).expand(-1, draws, -1, -1)
        inputs = torch.cat([spread, noise], dim=-1).flatten(1, 2)
        changes, logits = self.transition(weights, inputs)
        changes = changes.unflatten(1, (draws, n_rows))
        real = rows.changes.unsqueeze(1).expand_as(changes)
        losses = _smooth_l1(changes, real, STATE_BETA).mean(-1)
        if draws == 1:
            return losses.squeeze(1), logits
        nearest, index = losses.min(1)
        logits = logits.unflatten(1, (draws, n_rows))
        return nearest, logits.gather(1, index[:, None, :, None]).squeeze(1)


def _smooth_l1(prediction: Tensor, target: Tensor, beta: float) -> Tensor:
    return nn.functional.smooth_l1_loss(prediction, target, beta=beta, reduction="none")
