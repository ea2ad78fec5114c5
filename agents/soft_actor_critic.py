"""Soft actor-critic (Haarnoja et al. 2018) on rows that know their task.

Everything has a leading axis: of length 1 while all tasks share the networks, one entry per task
where each task has its own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.squashed_gaussian import SquashedGaussianPolicy, squash


@dataclass(frozen=True, kw_only=True)
class SacSettings:
    """What soft actor-critic learns with; `reward_scale` multiplies rewards before all else."""

    discount: float
    polyak: float
    learning_rate: float
    reward_scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SacRows:
    """A batch `[batch, rows]`: inputs are observation and encoding as the networks take them.

    `actions` are in [-1, 1]; `continues` is 0 after a termination and 1 otherwise.
    """

    inputs: Tensor
    actions: Tensor
    rewards: Tensor
    next_inputs: Tensor
    continues: Tensor


def initial_critics(
    n_critics: int, n_inputs: int, hidden_sizes: Sequence[int], generator: torch.Generator
) -> dict[str, Tensor]:
    """Weights of several critics without a leading axis, `weight_i [critics, in, out]`.

    Uniform as of torch's linear layers: orthogonal ones have no advantage under layer norms.
    """
    parameters = {}
    for layer, (n_in, n_out) in enumerate(pairwise((n_inputs, *hidden_sizes, 1))):
        bound = 1.0 / math.sqrt(n_in)
        for name, shape in (("weight", (n_in, n_out)), ("bias", (1, n_out))):
            drawn = torch.rand((n_critics, *shape), generator=generator, device=generator.device)
            parameters[f"{name}_{layer}"] = (2.0 * drawn - 1.0) * bound
    return parameters


def critic_values(critics: Parameters, inputs: Tensor, actions: Tensor) -> Tensor:
    """Values `[batch, critics, rows]` of `actions` taken on `inputs [batch, rows, size]`.

    Hidden layers are normalised (Ball et al. 2023, "Efficient online RL with offline data"): values
    of actions that no data has cannot run away.
    """
    joined = torch.cat([inputs, actions], dim=-1)
    n_batch, n_critics = critics["weight_0"].shape[:2]
    hidden = joined.unsqueeze(1).expand(-1, n_critics, -1, -1).flatten(0, 1)
    last = len(critics) // 2 - 1
    for layer in range(last):
        weight, bias = (critics[f"{name}_{layer}"].flatten(0, 1) for name in ("weight", "bias"))
        hidden = torch.baddbmm(bias, hidden, weight)
        hidden = nn.functional.layer_norm(hidden, hidden.shape[-1:]).relu()
    weight, bias = (critics[f"{name}_{last}"].flatten(0, 1) for name in ("weight", "bias"))
    # Batched matrix products with a single column are several times as slow on a processor.
    values = torch.linalg.vecdot(hidden, weight.mT) + bias.squeeze(-1)
    return values.view(n_batch, n_critics, -1)


@final
class SoftActorCritic:
    """Actor, critics, their delayed copy and the temperature, with one optimiser."""

    def __init__(
        self,
        policy: SquashedGaussianPolicy,
        actor: Parameters,
        critics: Parameters,
        settings: SacSettings,
    ) -> None:
        """`actor` and `critics` have the leading axis; they are copied."""
        self.policy, self.settings = policy, settings
        self.actor = {name: _trainable(value) for name, value in actor.items()}
        self.critics = {name: _trainable(value) for name, value in critics.items()}
        self.targets = {name: value.detach().clone() for name, value in critics.items()}
        first = next(iter(self.actor.values()))
        self.log_temperature = torch.zeros(
            len(first), device=first.device, dtype=first.dtype
        ).requires_grad_(True)
        self.target_entropy = -float(policy.n_actions)
        self.optimiser = torch.optim.Adam(
            [*self.actor.values(), *self.critics.values(), self.log_temperature],
            lr=settings.learning_rate,
            fused=True,
        )
        self._online = list(self.critics.values())
        self._delayed = list(self.targets.values())

    def update(
        self, rows: SacRows, noise: tuple[Tensor, Tensor], *, actor_too: bool = True
    ) -> dict[str, Tensor]:
        """One step of all parts on one batch; the losses, without waiting for the device.

        `noise` is standard normal, `[batch, rows, act]`, of the next actions and of the actor's.
        Without `actor_too` the critics alone take a step, as most do where critics learn often
        (Chen et al. 2021, 2101.05982): actor and temperature stay.
        """
        self.optimiser.zero_grad()  # what has no gradient then is left as it is
        target = self.critic_targets(rows, noise[0])
        values = critic_values(self.critics, rows.inputs, rows.actions)
        critic_loss = (values - target.unsqueeze(1)).square().mean(-1).sum()
        losses = {"critic_loss": critic_loss.detach(), "mean_value": values.detach().mean()}
        # The critics' gradient is taken of the critics alone, the actor's of the actor alone.
        _take_gradients(critic_loss, self._online)
        if actor_too:
            actor_loss, log_probs = self.actor_loss(rows.inputs, noise[1])
            surprise = (log_probs.detach().mean(-1) + self.target_entropy).detach()
            temperature_loss = -(self.log_temperature * surprise).sum()
            _take_gradients(actor_loss, list(self.actor.values()))
            _take_gradients(temperature_loss, [self.log_temperature])
            losses["actor_loss"] = actor_loss.detach()
        self.optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(self._delayed, self._online, self.settings.polyak)
        return {**losses, "temperature": self.log_temperature.detach().exp().mean()}

    @torch.no_grad()
    def critic_targets(self, rows: SacRows, noise: Tensor) -> Tensor:
        """`r + discount * continues * (min Q'(s', a') - temperature * log pi(a'|s'))`.

        `[batch, rows]`. Haarnoja et al. 2018 (1812.05905), equation 8, with the smaller of the
        delayed critics.
        """
        mean, log_std = self.policy.moments(self.actor, rows.next_inputs)
        actions, log_probs = squash(mean, log_std, noise)
        values = critic_values(self.targets, rows.next_inputs, actions).amin(1)
        soft = values - self._temperature() * log_probs
        discounted = self.settings.discount * rows.continues * soft
        return self.settings.reward_scale * rows.rewards + discounted

    def actor_loss(self, inputs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """`temperature * log pi(a|s) - min Q(s, a)`, its means summed over the batch; equation 9.

        With it `log pi [batch, rows]` of the actions drawn.
        """
        mean, log_std = self.policy.moments(self.actor, inputs)
        actions, log_probs = squash(mean, log_std, noise)
        values = critic_values(self.critics, inputs, actions).amin(1)
        return (self._temperature() * log_probs - values).mean(-1).sum(), log_probs

    def copies(self, n_batch: int) -> "SoftActorCritic":
        """Learners side by side that start as this one (of length 1) is; optimisers are fresh."""

        def spread(part: Parameters) -> dict[str, Tensor]:
            return {name: value.expand(n_batch, *value.shape[1:]) for name, value in part.items()}

        made = SoftActorCritic(self.policy, spread(self.actor), spread(self.critics), self.settings)
        made.restore(spread(self.tensors()))
        return made

    def tensors(self) -> dict[str, Tensor]:
        """Actor, critics, delayed critics and temperature, by name."""
        parts: Mapping[str, Mapping[str, Tensor]] = {
            "actor.": self.actor,
            "critics.": self.critics,
            "targets.": self.targets,
        }
        named = {prefix + n: v.detach() for prefix, part in parts.items() for n, v in part.items()}
        return {**named, "log_temperature": self.log_temperature.detach()}

    @torch.no_grad()
    def restore(self, tensors: Parameters) -> None:
        """Inverse of `tensors`."""
        for name, value in self.tensors().items():
            value.copy_(tensors[name])

    def _temperature(self) -> Tensor:
        return self.log_temperature.detach().exp().unsqueeze(-1)


def _take_gradients(loss: Tensor, parameters: list[Tensor]) -> None:
    gradients = torch.autograd.grad(loss, parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient


def _trainable(value: Tensor) -> Tensor:
    return value.detach().clone().contiguous().requires_grad_(True)
