"""The conditional GAN as one module: what is trained, and the average of it that imagines."""

from dataclasses import dataclass

import gymnasium
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from metarl_gan.config import Config
from metarl_gan.context_encoder import ContextEncoder
from metarl_gan.discriminator import Discriminator
from metarl_gan.envs.transitions import Transitions
from metarl_gan.generator import Generator, over_rows
from metarl_gan.transition_space import Rows, TransitionSpace


@dataclass(frozen=True, kw_only=True)
class HeldOutErrors:
    """One-step errors in normalised units, so that 1 is what predicting the mean would give.

    All `[tasks]`, means over rows; `next_state` is a mean over components, too.
    """

    next_state: Tensor
    reward: Tensor
    terminated: Tensor

    def infinite_where(self, unknown: Tensor) -> "HeldOutErrors":
        """The same errors, infinite for the tasks of a mask `[tasks]`."""
        infinite = {
            name: value.masked_fill(unknown, torch.inf) for name, value in vars(self).items()
        }
        return HeldOutErrors(**infinite)

    def means(self) -> dict[str, float]:
        """Means over the tasks of which anything can be said, by name; none if there is no such."""
        known = ~self.worst.isinf()
        if not bool(known.any()):
            return {}
        return {name: float(value[known].mean()) for name, value in vars(self).items()}

    @property
    def worst(self) -> Tensor:
        """The larger of the errors of next state, reward and termination."""
        return torch.stack([self.next_state, self.reward, self.terminated]).amax(0)


@dataclass(frozen=True, kw_only=True)
class TaskContext:
    """What is inferred of each task from its real transitions.

    `encoding [tasks, encoding_size]` is from all of them; `errors` are on half of the rows,
    with an encoding inferred from the other half.
    """

    encoding: Tensor
    errors: HeldOutErrors


class ConditionalGAN(nn.Module):
    """Transition space, context encoder, generator and discriminator of one family."""

    def __init__(
        self, observation_space: gymnasium.Space, action_space: gymnasium.Space, config: Config
    ) -> None:
        super().__init__()
        self.settings = config.generator
        self.min_context = config.encoder.min_context
        self.space = TransitionSpace(
            observation_space, action_space, residual=config.generator.residual
        )
        size = config.encoder.encoding_size
        self.encoder = ContextEncoder(self.space, config.encoder)
        self.generator = Generator(self.space, size, config.generator)
        self.discriminator = Discriminator(self.space, size, config.discriminator)
        average = get_ema_multi_avg_fn(config.adversarial.ema_decay)
        self.averaged_encoder = AveragedModel(self.encoder, multi_avg_fn=average)
        self.averaged_generator = AveragedModel(self.generator, multi_avg_fn=average)
        # Inference must not depend on which tasks happen to be in the batch.
        self.averaged_encoder.eval()

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

    def average(self) -> None:
        """Move the averaged encoder and generator towards the trained ones."""
        self.averaged_encoder.update_parameters(self.encoder)
        self.averaged_generator.update_parameters(self.generator)

    def infer(self, support: Transitions, generator: torch.Generator) -> TaskContext:
        """Encode each task's support `[tasks, envs, time]`, and test it on rows held out.

        Of a task with fewer than twice `encoder.min_context` transitions nothing can be said:
        its errors are infinite.
        """
        rows = _shuffled_rows(self.space.rows(support), generator)
        # Rows are shuffled with the valid ones first, so that even and odd rows are two halves.
        halves = [_take(rows, slice(0, None, 2)), _take(rows, slice(1, None, 2))]
        encoding = self.encode(rows)
        errors = self.errors(halves[1], self.encode(halves[0]), generator)
        unknown = rows.valid.sum(-1) < 2 * self.min_context
        return TaskContext(encoding=encoding, errors=errors.infinite_where(unknown))

    def encode(self, rows: Rows) -> Tensor:
        """Encodings `[tasks, size]` of context rows `[tasks, rows]`, refined if configured."""
        with torch.no_grad():
            encoding = self.averaged_encoder(rows)
        if self.settings.adaptation == "none":
            return encoding
        return self._invert(encoding, rows)

    @torch.no_grad()
    def errors(self, rows: Rows, encoding: Tensor, generator: torch.Generator) -> HeldOutErrors:
        """One-step errors of the averaged generator on rows `[tasks, rows]`."""
        noise = torch.randn(
            (*rows.valid.shape, self.settings.noise_size),
            generator=generator,
            device=rows.states.device,
        )
        spread = over_rows(encoding, rows.valid.shape[-1])
        generated = self.imagining.on_rows(rows, spread, noise)
        weight = rows.valid.to(rows.rewards.dtype)
        weight = weight / weight.sum(-1, keepdim=True).clamp(min=1.0)
        terminated = torch.sigmoid(generated.terminated_logits) - rows.terminated
        # A termination is rare: its error is relative to how often it happens in these rows.
        rate = (rows.terminated.squeeze(-1) * weight).sum(-1)
        variance = (rate * (1.0 - rate)).clamp(min=0.05)
        return HeldOutErrors(
            next_state=((generated.changes - rows.changes).square().mean(-1) * weight).sum(-1),
            reward=((generated.rewards - rows.rewards).square().squeeze(-1) * weight).sum(-1),
            terminated=(terminated.square().squeeze(-1) * weight).sum(-1) / variance,
        )

    def _invert(self, encoding: Tensor, rows: Rows) -> Tensor:
        """Refine encodings by gradient through the frozen generator on the task's own rows.

        An amortised encoding that is a little off can turn the sign of the policy gradient.
        """
        generator = self.imagining
        noise = torch.zeros(
            (*rows.valid.shape, self.settings.noise_size), device=rows.states.device
        )
        weight = rows.valid.to(rows.rewards.dtype).unsqueeze(-1)
        weight = weight / weight.sum(-2, keepdim=True).clamp(min=1.0)
        refined = encoding.detach().clone().requires_grad_(True)
        optimiser = torch.optim.Adam([refined], lr=self.settings.inversion_lr)
        for _ in range(self.settings.inversion_steps):
            generated = generator.on_rows(rows, over_rows(refined, rows.valid.shape[-1]), noise)
            loss = (_smooth_l1(generated.rewards, rows.rewards, 0.1) * weight).sum()
            states = _smooth_l1(generated.changes, rows.changes, 0.5).mean(-1, keepdim=True)
            loss = loss + 0.5 * (states * weight).sum()
            (gradient,) = torch.autograd.grad(loss, [refined])
            refined.grad = gradient
            optimiser.step()
            with torch.no_grad():
                refined.clamp_(-1.0, 1.0)
        return refined.detach()


def _smooth_l1(prediction: Tensor, target: Tensor, beta: float) -> Tensor:
    return nn.functional.smooth_l1_loss(prediction, target, beta=beta, reduction="none")


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
