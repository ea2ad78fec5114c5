"""Adversarial training of generator, discriminator and context encoder on the replay."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metarl_gan.adversarial_game import AdversarialGame
from metarl_gan.agents.networks import Parameters
from metarl_gan.config import Config
from metarl_gan.discriminator import judged_inputs
from metarl_gan.gan import ConditionalGAN
from metarl_gan.generator import over_rows
from metarl_gan.generator_adaptation import Layout, adapted_weights, anchor_losses, weighted
from metarl_gan.replay import Replay
from metarl_gan.streams import Streams
from metarl_gan.transition_space import Rows

Losses = dict[str, Tensor]

DRAWN_AT_ONCE = 16
"""Updates whose batches are gathered from the replay together: many small gathers take longer."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one update learns from: context rows, target windows, descriptors of the tasks."""

    context: Rows
    targets: Rows
    descriptors: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Conditioned:
    """The generator under the encodings `[tasks, size]` of a batch.

    `weights` are the members' own, or those that adapted to the context.
    """

    encoding: Tensor
    weights: Parameters
    layout: Layout


class AdversarialTrainer:
    """The optimisers of a conditional GAN and one update of all of it."""

    def __init__(self, gan: ConditionalGAN, config: Config) -> None:
        self.gan = gan
        self.config = config
        self.gan_updates = 0
        learning_rate = config.adversarial.learning_rate
        self.generating = [*gan.encoder.parameters(), *gan.generator.parameters()]
        # The state head learns fast and then falls silent; a second moment with a long memory
        # would keep the encoder's steps small for the reward head, which learns from it later.
        self.generator_optimiser = torch.optim.Adam(
            self.generating, lr=learning_rate, betas=(0.9, 0.99), fused=True
        )
        self.discriminator_optimiser: torch.optim.Adam | None = None
        self._game: AdversarialGame | None = None
        if gan.discriminator is not None:
            self.discriminator_optimiser = torch.optim.Adam(
                gan.discriminator.parameters(), lr=learning_rate, betas=(0.5, 0.9), fused=True
            )
            self._game = AdversarialGame(gan.discriminator, config.discriminator)

    @property
    def optimisers(self) -> dict[str, torch.optim.Adam]:
        """By what they optimise."""
        found = {"generator": self.generator_optimiser}
        if self.discriminator_optimiser is not None:
            found["discriminator"] = self.discriminator_optimiser
        return found

    def train(self, replay: Replay, n_updates: int, streams: Streams) -> dict[str, float]:
        """Run `n_updates` updates; mean losses of them, read from the device once.

        `gradient_norm` is the largest; not a number if it ever was none.
        """
        totals: Losses = {}
        counts: dict[str, int] = {}
        largest = torch.zeros((), device=streams.device)
        last = self.gan_updates + n_updates
        while self.gan_updates < last:
            for batch in self._draw(replay, min(DRAWN_AT_ONCE, last - self.gan_updates), streams):
                stream = streams.torch("adversarial", self.gan_updates)
                losses, norm = self._update(batch, stream)
                largest = torch.maximum(largest, norm)
                for name, value in losses.items():
                    totals[name] = totals[name] + value if name in totals else value
                    counts[name] = counts.get(name, 0) + 1
                self.gan_updates += 1
        means = {name: total / counts[name] for name, total in totals.items()}
        values = torch.stack([*means.values(), largest]).tolist()
        return dict(zip([*means, "gradient_norm"], values, strict=True))

    def _update(self, batch: Batch, stream: torch.Generator) -> tuple[Losses, Tensor]:
        posterior = self.gan.encoder(batch.context, batch.descriptors)
        conditioned = self._condition(posterior.sample(stream), batch.context)
        losses = self._anchor(conditioned, batch.targets, stream)
        total = losses["anchor_loss"]
        if self.config.encoder.posterior:
            losses["divergence"] = posterior.divergence().mean()
            total = total + self.config.encoder.kl_weight * losses["divergence"]
        every = self.config.adversarial.game_every
        if self._game is not None and self.gan_updates % every == 0:
            played = self._play(self._game, conditioned, batch.targets, stream)
            total = total + self.config.adversarial.adversarial_weight * played["generator_loss"]
            losses |= played
        self.generator_optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = torch.nn.utils.get_total_norm(
            [value.grad for value in self.generating if value.grad is not None]
        )
        self.generator_optimiser.step()
        self.gan.average()
        return {name: value.detach() for name, value in losses.items()}, norm

    def _draw(self, replay: Replay, n_updates: int, streams: Streams) -> list[Batch]:
        """What the next updates learn from, gathered and normalised at once."""
        config, min_context = self.config.adversarial, self.config.encoder.min_context
        choices = np.random.default_rng(streams.integer("adversarial-choices", self.gan_updates))
        stream = streams.torch("adversarial-draws", self.gan_updates)
        largest = math.log(config.max_context / min_context)
        sizes = np.rint(min_context * np.exp(choices.uniform(0.0, largest, n_updates))).astype(int)
        counterfactual = choices.random(n_updates) < config.counterfactual_share
        drawn = replay.sample(
            n_updates * config.tasks_per_update,
            int(sizes.max()),
            config.targets_per_task,
            stream,
            window_steps=self.config.discriminator.window_steps,
            strangers=bool(counterfactual.any()),
        )
        context, targets, strangers = (
            _one_episode(self.gan.space.rows(rows))
            for rows in (drawn.context, drawn.targets, drawn.strangers)
        )
        batches = []
        for update, size in enumerate(sizes):
            first = update * config.tasks_per_update
            tasks = slice(first, first + config.tasks_per_update)
            descriptors = drawn.descriptors[tasks] if self.config.encoder.descriptor else None
            its_context = _part(context, tasks, size)
            if counterfactual[update]:
                others = _part(strangers, tasks, size)
                its_context = self._counterfactual(its_context, others, descriptors, stream)
            its_targets = _part(targets, tasks, None)
            batches.append(Batch(context=its_context, targets=its_targets, descriptors=descriptors))
        return batches

    @torch.no_grad()
    def _counterfactual(
        self,
        context: Rows,
        strangers: Rows,
        descriptors: Tensor | None,
        stream: torch.Generator,
    ) -> Rows:
        """What this task's context might have been in other places: relabelled strangers.

        Without these the encoder recognises episodes by where they went instead of tasks.
        """
        known = self.gan.encoded(context, descriptors)
        generated = self.gan.generate(known, strangers.states, strangers.actions, stream)
        return Rows(
            states=strangers.states,
            actions=strangers.actions,
            changes=generated.changes,
            rewards=generated.rewards,
            terminated=(generated.terminated_logits > 0).to(strangers.terminated.dtype),
            valid=strangers.valid,
        )

    def _condition(self, encoding: Tensor, context: Rows) -> Conditioned:
        """The generator for these tasks; by MAML, adapted to their contexts."""
        generator, settings = self.gan.generator, self.config.generator
        weights: Parameters = generator.weights()
        maml = settings.adaptation == "maml"
        if maml:
            weights = adapted_weights(
                generator,
                weights,
                encoding,
                context,
                settings,
                self.gan.anchor,
                differentiable=True,
            )
        layout = Layout(n_members=settings.members, n_tasks=len(encoding), adapted=maml)
        return Conditioned(encoding=encoding, weights=weights, layout=layout)

    def _anchor(self, conditioned: Conditioned, targets: Rows, stream: torch.Generator) -> Losses:
        """Reconstruction of the real targets, summed over members: each learns as if alone."""
        reptile = self.config.generator.adaptation == "reptile"
        weights = conditioned.weights
        if reptile:
            weights = {name: value.detach() for name, value in weights.items()}
        by_head = anchor_losses(
            self.gan.generator, weights, conditioned.encoding, targets, conditioned.layout, stream
        )
        loss = weighted(by_head, self.gan.anchor).mean(1).sum()
        if reptile:
            loss = loss + self._displacement(conditioned, targets)
        losses = {f"{name}_loss": value.mean() for name, value in by_head.items()}
        return {**losses, "anchor_loss": loss}

    def _displacement(self, conditioned: Conditioned, targets: Rows) -> Tensor:
        """What has as its gradient the way that the tasks' generators go (Nichol et al. 2018).

        That way is a sum of gradients; divided by the step size it takes their place.
        """
        generator, settings = self.gan.generator, self.config.generator
        encoding = conditioned.encoding.detach()
        ends = adapted_weights(
            generator, conditioned.weights, encoding, targets, settings, self.gan.anchor
        )
        scale = settings.adaptation_lr * settings.adaptation_steps
        parts = []
        for name, value in conditioned.weights.items():
            end = ends[name].unflatten(0, (settings.members, -1)).mean(1)
            parts.append((value * ((value - end) / scale).detach()).sum())
        return torch.stack(parts).sum()

    def _play(
        self,
        game: AdversarialGame,
        conditioned: Conditioned,
        targets: Rows,
        stream: torch.Generator,
    ) -> Losses:
        """The discriminator's steps, then the generator's loss against it."""
        optimiser = self.discriminator_optimiser
        assert optimiser is not None  # there is a game
        losses: Losses = {}
        real, steps = self._real(targets), self.config.discriminator.steps

        def draws() -> Tensor:
            made = [self._rolled_out(conditioned, targets, stream) for _ in range(game.n_draws)]
            return torch.cat(made, dim=1)

        generated = draws()
        encoding = conditioned.encoding.repeat(self.config.generator.members, 1)
        for step in range(steps):
            if step:
                with torch.no_grad():
                    generated = draws()
            losses = game.discriminator_loss(real, generated.detach(), encoding, stream)
            optimiser.zero_grad(set_to_none=True)
            losses["discriminator_loss"].backward()
            optimiser.step()
        if steps > 1:
            generated = draws()
        return losses | game.generator_loss(real, generated, encoding)

    def _real(self, targets: Rows) -> Tensor:
        """Real windows as the discriminator takes them, `[members * tasks, windows, size]`."""
        rows = judged_inputs(
            targets.states, targets.actions, targets.changes, targets.rewards, targets.terminated
        )
        windows = rows.unflatten(1, (-1, self._window)).flatten(2)
        return windows.repeat(self.config.generator.members, 1, 1)

    def _rolled_out(
        self, conditioned: Conditioned, targets: Rows, stream: torch.Generator
    ) -> Tensor:
        """Windows generated from the real ones' first states, under their actions.

        `[members * tasks, windows, size]`; where the real episode was over, the real rows.
        """
        generator, space, layout = self.gan.generator, self.gan.space, conditioned.layout
        windows = [value.unflatten(1, (-1, self._window)) for value in vars(targets).values()]
        by_name = dict(zip(vars(targets), windows, strict=True))
        states = layout.spread(by_name["states"][:, :, 0])
        encoding = layout.spread(over_rows(conditioned.encoding, by_name["states"].shape[1]))
        noise_size = generator.noise_size + generator.reward_noise_size
        steps = []
        for time in range(self._window):
            actions = layout.spread(by_name["actions"][:, :, time])
            shape = (*states.shape[:2], noise_size)
            noise = torch.randn(shape, generator=stream, device=states.device)
            made = generator.generate(conditioned.weights, states, actions, encoding, noise)
            ends = _drawn(torch.sigmoid(made.terminated_logits), stream)
            steps.append(judged_inputs(states, actions, made.changes, made.rewards, ends))
            reached = space.next_states(space.state.denormalise(states), made.changes)
            states = space.state.normalise(reached)
        generated = layout.gather(torch.cat(steps, dim=-1)).flatten(0, 1)
        whole = by_name["valid"].all(-1).repeat(self.config.generator.members, 1)
        return torch.where(whole.unsqueeze(-1), generated, self._real(targets))

    @property
    def _window(self) -> int:
        return self.config.discriminator.window_steps


def _drawn(probability: Tensor, stream: torch.Generator) -> Tensor:
    """0 or 1 by chance, with the probability's gradient: real terminations are never between."""
    chance = torch.rand(probability.shape, generator=stream, device=probability.device)
    return (chance < probability).to(probability.dtype) + probability - probability.detach()


def _part(rows: Rows, tasks: slice, n_rows: int | None) -> Rows:
    """The first rows of some tasks; rows are in random order."""
    return Rows(**{name: value[tasks, :n_rows] for name, value in vars(rows).items()})


def _one_episode(rows: Rows) -> Rows:
    """Drop the env axis, of size 1 in replay samples: `[tasks, 1, rows]` to `[tasks, rows]`."""
    return Rows(**{name: value.squeeze(1) for name, value in vars(rows).items()})
