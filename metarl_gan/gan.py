"""The conditional GAN as one module: what is trained, and the average of it that imagines."""

from dataclasses import dataclass, replace

import gymnasium
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from metarl_gan.agents.networks import Parameters
from metarl_gan.config import Config
from metarl_gan.context_encoder import ContextEncoder
from metarl_gan.context_error import accepted_context
from metarl_gan.discriminator import Discriminator
from metarl_gan.envs.transitions import Transitions
from metarl_gan.generator import Generated, Generator, over_rows
from metarl_gan.generator_adaptation import (
    AnchorWeights,
    Layout,
    adapted_weights,
    anchor_losses,
    invert,
    weighted,
)
from metarl_gan.generators.make import make_generator
from metarl_gan.held_out_errors import HeldOutErrors, held_out_errors
from metarl_gan.members import Turns
from metarl_gan.transition_space import Rows, TransitionSpace

MEMBER_ERROR_WEIGHT = 0.2
"""Of the latest batch in what is known of the members' held-out errors."""


@dataclass(frozen=True, kw_only=True)
class TaskContext:
    """What is inferred of each task from its real transitions.

    `encoding [tasks, encoding_size]` is from all of them; `errors` are on half of the rows,
    with what was inferred from the other half. `weights [elites * tasks, ...]` are those of
    generators that adapted to their tasks, if they do.
    """

    encoding: Tensor
    errors: HeldOutErrors
    weights: Parameters | None = None

    def roll(self) -> "TaskContext":
        """Every task under the context of its neighbour: a control."""
        weights = self.weights and {
            name: value.unflatten(0, (-1, len(self.encoding))).roll(1, dims=1).flatten(0, 1)
            for name, value in self.weights.items()
        }
        return TaskContext(
            encoding=self.encoding.roll(1, dims=0), errors=self.errors, weights=weights
        )


class ConditionalGAN(nn.Module):
    """Transition space, context encoder, generator and, for the GAN proper, discriminator.

    With `generator.kind` another one, that generator takes the GAN's place, and nothing else
    differs.
    """

    member_errors: Tensor
    validation_error: Tensor

    def __init__(
        self,
        observation_space: gymnasium.Space,
        action_space: gymnasium.Space,
        config: Config,
        descriptor_size: int = 0,
    ) -> None:
        super().__init__()
        self.settings = config.generator
        self.min_context = config.encoder.min_context
        self.anchor = AnchorWeights(
            state=config.adversarial.state_weight,
            reward=config.adversarial.reward_weight,
            terminated=config.adversarial.terminated_weight,
        )
        self.space = TransitionSpace(
            observation_space, action_space, residual=config.generator.residual
        )
        size = config.encoder.encoding_size
        self.descriptor_size = descriptor_size
        self.encoder = ContextEncoder(self.space, config.encoder, descriptor_size)
        self.generator = make_generator(self.space, config)
        self.discriminator: Discriminator | None = None
        if config.has_discriminator:
            self.discriminator = Discriminator(self.space, size, config.discriminator)
        average = get_ema_multi_avg_fn(config.adversarial.ema_decay)
        self.averaged_encoder = AveragedModel(self.encoder, multi_avg_fn=average)
        self.averaged_generator = AveragedModel(self.generator, multi_avg_fn=average)
        self.register_buffer("member_errors", torch.zeros(config.generator.members))
        self.register_buffer("validation_error", torch.tensor(torch.inf))
        self.train()

    def train(self, mode: bool = True) -> "ConditionalGAN":
        """As modules do; but what is inferred never depends on what else is in the batch."""
        super().train(mode)
        self.averaged_encoder.eval()
        return self

    @property
    def imagining(self) -> Generator:
        """The averaged generator, which is the one that imagines."""
        module = self.averaged_generator.module
        assert isinstance(module, Generator)
        return module

    @property
    def trained(self) -> bool:
        """Whether there has been any update to generate from; waits for the device."""
        return bool(self.averaged_generator.n_averaged > 0)

    @property
    def n_elites(self) -> int:
        """How many members imagine."""
        return self.settings.elites or self.settings.members

    def average(self) -> None:
        """Move the averaged encoder and generator towards the trained ones."""
        self.averaged_encoder.update_parameters(self.encoder)
        self.averaged_generator.update_parameters(self.generator)

    def elite_weights(self) -> dict[str, Tensor]:
        """Averaged weights `[elites, ...]` of the members of least held-out error."""
        weights = {name: v.detach() for name, v in self.imagining.weights().items()}
        if self.n_elites == self.settings.members:
            return weights
        elites = self.member_errors.topk(self.n_elites, largest=False).indices
        return {name: value[elites] for name, value in weights.items()}

    def accepted(self, context: Transitions) -> Transitions:
        """A context `[tasks, envs, time]` of anyone's, if tasks can be inferred from it.

        Raises `ContextError` that says why not.
        """
        return accepted_context(self.space, context, self.min_context)

    def infer(
        self,
        support: Transitions,
        stream: torch.Generator,
        descriptors: Tensor | None = None,
    ) -> TaskContext:
        """Encode each task's support `[tasks, envs, time]`, and test it on rows held out.

        `descriptors [tasks, size]` only if the encoder takes them. Of a task with fewer than
        twice `encoder.min_context` transitions nothing can be said: its errors are infinite.
        """
        rows = _shuffled_rows(self.space.rows(support), stream)
        # Rows are shuffled with the valid ones first, so that even and odd rows are two halves.
        halves = [_take(rows, slice(0, None, 2)), _take(rows, slice(1, None, 2))]
        errors = self.errors(halves[1], self.take_in(halves[0], descriptors), stream)
        if self.settings.adaptation == "inversion":
            plain = self.errors(halves[1], self.encoded(halves[0], descriptors), stream)
            errors = replace(errors, unrefined=plain)
        unknown = rows.valid.sum(-1) < 2 * self.min_context
        context = self.take_in(rows, descriptors)
        return TaskContext(
            encoding=context.encoding,
            weights=context.weights,
            errors=errors.infinite_where(unknown),
        )

    def take_in(self, rows: Rows, descriptors: Tensor | None = None) -> TaskContext:
        """What context rows `[tasks, rows]` say of their tasks; errors are not known yet."""
        plain, settings = self.encoded(rows, descriptors), self.settings
        encoding, weights = plain.encoding, None
        if settings.adaptation == "inversion":
            encoding = invert(self.imagining, self.elite_weights(), encoding, rows, settings)
        elif settings.adaptation != "none":
            weights = adapted_weights(
                self.imagining, self.elite_weights(), encoding, rows, settings, self.anchor
            )
        return TaskContext(encoding=encoding, weights=weights, errors=plain.errors)

    @torch.no_grad()
    def encoded(self, rows: Rows, descriptors: Tensor | None = None) -> TaskContext:
        """The encodings of context rows `[tasks, rows]`, without any adaptation to them."""
        encoding = self.averaged_encoder(rows, descriptors).encoding
        unknown = encoding.new_full((len(encoding),), torch.inf)
        errors = HeldOutErrors(next_state=unknown, reward=unknown, terminated=unknown)
        return TaskContext(encoding=encoding, errors=errors)

    @torch.no_grad()
    def compare_members(self, context: Rows, held_out: Rows, descriptors: Tensor | None) -> None:
        """Take errors on rows that no member was trained on into who belongs to the elite."""
        if self.n_elites == self.settings.members:
            return
        encoding = self.encoded(context, descriptors).encoding
        weights = {name: v.detach() for name, v in self.imagining.weights().items()}
        layout = Layout(n_members=self.settings.members, n_tasks=len(encoding), adapted=False)
        losses = anchor_losses(self.imagining, weights, encoding, held_out, layout, None)
        self.member_errors.lerp_(weighted(losses, self.anchor).mean(1), MEMBER_ERROR_WEIGHT)

    @torch.no_grad()
    def generate(
        self, context: TaskContext, states: Tensor, actions: Tensor, stream: torch.Generator
    ) -> Generated:
        """One step from normalised `states` and `actions [tasks, rows, size]`, elites in turns."""
        return self._generate(context, states, actions, None, stream)

    @torch.no_grad()
    def rewards(
        self,
        context: TaskContext,
        states: Tensor,
        actions: Tensor,
        changes: Tensor,
        stream: torch.Generator,
    ) -> Tensor:
        """Normalised rewards `[tasks, rows, 1]` of normalised transitions, whoever made them."""
        return self._generate(context, states, actions, changes, stream).rewards

    @torch.no_grad()
    def errors(self, rows: Rows, context: TaskContext, stream: torch.Generator) -> HeldOutErrors:
        """One-step errors of the averaged generator on real rows `[tasks, rows]`.

        The reward is asked about the real change of state, so that its error is its own.
        """
        first, second = (
            self._generate(context, rows.states, rows.actions, rows.changes, stream)
            for _ in range(2)
        )
        return held_out_errors(rows, first, second)

    def _generate(
        self,
        context: TaskContext,
        states: Tensor,
        actions: Tensor,
        changes: Tensor | None,
        stream: torch.Generator,
    ) -> Generated:
        generator, weights = self.imagining, context.weights or self.elite_weights()
        turns = Turns(
            n_members=self.n_elites,
            n_tasks=states.shape[0],
            n_rows=states.shape[1],
            adapted=context.weights is not None,
        )
        spread = over_rows(context.encoding, states.shape[1])
        states_, actions_, encoding = (turns.split(value) for value in (states, actions, spread))
        noise = torch.randn(
            (*states_.shape[:2], generator.noise_size + generator.reward_noise_size),
            generator=stream,
            device=states.device,
        )
        known = None if changes is None else turns.split(changes)
        made = generator.generate(weights, states_, actions_, encoding, noise, known)
        return Generated(**{name: turns.join(value) for name, value in vars(made).items()})


def _take(rows: Rows, part: slice) -> Rows:
    return Rows(**{name: value[:, part] for name, value in vars(rows).items()})


def _shuffled_rows(rows: Rows, generator: torch.Generator) -> Rows:
    """Flatten episodes to `[tasks, rows]`, valid rows first and in random order."""
    flat = {name: value.flatten(1, 2) for name, value in vars(rows).items()}
    valid = flat["valid"]
    key = torch.rand(valid.shape, generator=generator, device=valid.device) + (~valid).float() * 2
    order = key.argsort(-1)
    tasks = torch.arange(valid.shape[0], device=valid.device).unsqueeze(-1)
    return Rows(**{name: value[tasks, order] for name, value in flat.items()})
