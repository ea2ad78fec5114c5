"""Adversarial training of generator, discriminator and context encoder on the replay."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from metarl_gan.config import AdversarialConfig
from metarl_gan.discriminator import discriminator_loss, generator_loss
from metarl_gan.gan import ConditionalGAN
from metarl_gan.generator import Generated, over_rows
from metarl_gan.replay import ContextAndTargets, Replay
from metarl_gan.streams import Streams
from metarl_gan.transition_space import Rows


class AdversarialTrainer:
    """The optimisers of a conditional GAN and one update of all of it."""

    def __init__(self, gan: ConditionalGAN, config: AdversarialConfig, min_context: int) -> None:
        self.gan = gan
        self.config = config
        self.min_context = min_context
        self.gan_updates = 0
        generating = [*gan.encoder.parameters(), *gan.generator.parameters()]
        # The state head learns fast and then falls silent; a second moment with a long memory
        # would keep the encoder's steps small for the reward head, which learns from it later.
        self.generator_optimiser = torch.optim.Adam(
            generating, lr=config.learning_rate, betas=(0.9, 0.99), fused=True
        )
        self.discriminator_optimiser = torch.optim.Adam(
            gan.discriminator.parameters(), lr=config.learning_rate, betas=(0.5, 0.9), fused=True
        )

    def train(self, replay: Replay, n_updates: int, streams: Streams) -> dict[str, float]:
        """Run `n_updates` updates; mean losses of them, read from the device once."""
        totals: dict[str, Tensor] = {}
        for _ in range(n_updates):
            for name, value in self._update(replay, streams).items():
                totals[name] = totals.get(name, torch.zeros((), device=value.device)) + value
            self.gan_updates += 1
        return {name: float(total) / n_updates for name, total in totals.items()}

    def _update(self, replay: Replay, streams: Streams) -> dict[str, Tensor]:
        config = self.config
        stream = streams.torch("adversarial", self.gan_updates)
        choices = np.random.default_rng(streams.integer("adversarial-choices", self.gan_updates))
        largest = math.log(config.max_context / self.min_context)
        n_context = round(self.min_context * math.exp(choices.uniform(0.0, largest)))
        drawn = replay.sample(config.tasks_per_update, n_context, config.targets_per_task, stream)
        counterfactual = choices.random() < config.counterfactual_share
        context, targets = self._context_and_targets(drawn, counterfactual, stream)
        encoding = over_rows(self.gan.encoder(context), targets.valid.shape[-1])
        # The discriminator learns first, from the very rows that the generator then learns from.
        generated = self.gan.generator(
            targets.states, targets.actions, encoding, self._noise(targets, stream)
        )
        losses = {}
        if config.adversarial_weight > 0 and self.gan_updates % config.discriminator_every == 0:
            losses |= self._update_discriminator(targets, generated.detach(), encoding.detach())
        return losses | self._update_generator(targets, generated, encoding)

    def _context_and_targets(
        self, drawn: ContextAndTargets, counterfactual: bool, stream: torch.Generator
    ) -> tuple[Rows, Rows]:
        space = self.gan.space
        context = _one_episode(space.rows(drawn.context))
        if counterfactual:
            context = self._counterfactual(
                context, _one_episode(space.rows(drawn.strangers)), stream
            )
        return context, _one_episode(space.rows(drawn.targets))

    @torch.no_grad()
    def _counterfactual(self, context: Rows, strangers: Rows, stream: torch.Generator) -> Rows:
        """What this task's context might have been in other places: relabelled strangers.

        Without these the encoder recognises episodes by where they went instead of tasks.
        """
        encoding = over_rows(self.gan.averaged_encoder(context), strangers.valid.shape[-1])
        generated = self.gan.averaged_generator(
            strangers.states, strangers.actions, encoding, self._noise(strangers, stream)
        )
        return Rows(
            states=strangers.states,
            actions=strangers.actions,
            changes=generated.changes,
            rewards=generated.rewards,
            terminated=(generated.terminated_logits > 0).to(strangers.terminated.dtype),
            valid=strangers.valid,
        )

    def _update_discriminator(
        self, targets: Rows, generated: Generated, encoding: Tensor
    ) -> dict[str, Tensor]:
        real_logits = self.gan.discriminator(
            targets.states,
            targets.actions,
            targets.changes,
            targets.rewards,
            targets.terminated,
            encoding,
        )
        loss = discriminator_loss(real_logits, self._judge(targets, generated, encoding))
        self.discriminator_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.discriminator_optimiser.step()
        # A loss is logged as a mean over all updates, of which only every n-th has this one.
        return {"discriminator_loss": loss.detach() * self.config.discriminator_every}

    def _update_generator(
        self, targets: Rows, generated: Generated, encoding: Tensor
    ) -> dict[str, Tensor]:
        config = self.config
        rewards = self.gan.generator.rewards(
            targets.states, targets.actions, targets.changes, encoding
        )
        smooth_l1 = nn.functional.smooth_l1_loss
        state_loss = smooth_l1(generated.changes, targets.changes, beta=0.5)
        reward_loss = smooth_l1(rewards, targets.rewards, beta=0.1)
        terminated_loss = nn.functional.binary_cross_entropy_with_logits(
            generated.terminated_logits, targets.terminated
        )
        loss = (
            config.state_weight * state_loss
            + config.reward_weight * reward_loss
            + config.terminated_weight * terminated_loss
        )
        losses = {"state_loss": state_loss, "reward_loss": reward_loss}
        losses["terminated_loss"] = terminated_loss
        if config.adversarial_weight > 0:
            adversarial = generator_loss(self._judge(targets, generated, encoding))
            loss = loss + config.adversarial_weight * adversarial
            losses["generator_loss"] = adversarial
        self.generator_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.generator_optimiser.step()
        self.gan.average()
        return {name: value.detach() for name, value in losses.items()}

    def _judge(self, targets: Rows, generated: Generated, encoding: Tensor) -> Tensor:
        return self.gan.discriminator(
            targets.states,
            targets.actions,
            generated.changes,
            generated.rewards,
            torch.sigmoid(generated.terminated_logits),
            encoding,
        )

    def _noise(self, rows: Rows, stream: torch.Generator) -> Tensor:
        shape = (*rows.valid.shape, self.gan.settings.noise_size)
        return torch.randn(shape, generator=stream, device=rows.states.device)


def _one_episode(rows: Rows) -> Rows:
    """Drop the env axis, of size 1 in replay samples: `[tasks, 1, rows]` to `[tasks, rows]`."""
    return Rows(**{name: value.squeeze(1) for name, value in vars(rows).items()})
