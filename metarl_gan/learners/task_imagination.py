"""Going on to learn in imagination once a task is known: every task on networks of its own."""

from dataclasses import dataclass

import torch
from torch import Tensor

from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.soft_actor_critic import SacRows, SoftActorCritic
from metarl_gan.agents.squashed_gaussian import SquashedGaussianPolicy
from metarl_gan.dreams import GeneratedDream
from metarl_gan.envs.transitions import Transitions
from metarl_gan.imagination import imagine, visited_states
from metarl_gan.sac_config import SacConfig

UPDATES_PER_DREAM = 20
"""A policy that changed wants fresh imagination; imagining costs about as much as an update."""
ROLLOUTS_PER_ROW = 4
"""Rollouts imagined at once, per row of a batch: what one dream's updates draw from."""


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Transitions of each task side by side, `[tasks, rows, ...]`, and which of them count."""

    batch: Transitions
    weights: Tensor

    @classmethod
    def of(cls, batch: Transitions) -> "_Source":
        return cls(batch=batch, weights=batch.valid.flatten(1).float())

    def draw(self, n_rows: int, stream: torch.Generator) -> dict[str, Tensor]:
        index = torch.multinomial(self.weights, n_rows, replacement=True, generator=stream)
        tasks = torch.arange(len(index), device=index.device).unsqueeze(-1)
        names = ("observations", "actions", "rewards", "next_observations", "terminated")
        return {name: getattr(self.batch, name).flatten(1, 2)[tasks, index] for name in names}


def learn_in_imagination(
    sac: SoftActorCritic,
    dream: GeneratedDream,
    support: Transitions,
    share: Tensor,
    config: SacConfig,
) -> dict[str, Tensor]:
    """Actors `[tasks, ...]` after `config.task_updates` updates of each task's own networks.

    They start from the shared ones of `sac`, and learn from short rollouts out of states of the
    `support [tasks, episodes, time]`, `share [tasks]` of their rows, and from the support itself.
    No real step is taken. Tasks that learn side by side do not touch each other.
    """
    encoding, stream = dream.context.encoding, dream.stream
    own = sac.copies(len(encoding))
    real = _Source.of(support)
    imagined = real
    for number in range(config.task_updates):
        if number % UPDATES_PER_DREAM == 0:
            imagined = _Source.of(_dream(dream, support, own.actor, config))
        rows = _mixed(real, imagined, share, config.task_batch_size, stream)
        batch = _as_rows(own.policy, rows, encoding)
        noise = torch.randn((2, *batch.actions.shape), generator=stream, device=stream.device)
        own.update(batch, (noise[0], noise[1]))
    return {name: value.detach() for name, value in own.actor.items()}


def _dream(
    dream: GeneratedDream, support: Transitions, actor: Parameters, config: SacConfig
) -> Transitions:
    parameters = {name: value.detach() for name, value in actor.items()}
    parameters["encoding"] = dream.context.encoding
    starts = visited_states(support, ROLLOUTS_PER_ROW * config.task_batch_size, dream.stream)
    return imagine(
        dream.gan,
        dream.context,
        dream.policy,
        parameters,
        starts,
        config.branch_steps,
        dream.stream,
        dream.dtype,
    )


def _mixed(
    real: _Source, imagined: _Source, share: Tensor, n_rows: int, stream: torch.Generator
) -> dict[str, Tensor]:
    """Every row is imagined with the probability that is its task's share."""
    of_real, of_dream = real.draw(n_rows, stream), imagined.draw(n_rows, stream)
    chance = torch.rand((len(share), n_rows), generator=stream, device=share.device)
    dreamt = chance < share.unsqueeze(-1)
    return {
        name: torch.where(
            dreamt.view(*dreamt.shape, *[1] * (value.ndim - 2)), of_dream[name], value
        )
        for name, value in of_real.items()
    }


def _as_rows(policy: SquashedGaussianPolicy, rows: dict[str, Tensor], encoding: Tensor) -> SacRows:
    told = encoding.unsqueeze(-2)
    return SacRows(
        inputs=policy.inputs(rows["observations"], told),
        actions=policy.from_space(rows["actions"]).clamp(-1.0, 1.0),
        rewards=rows["rewards"],
        next_inputs=policy.inputs(rows["next_observations"], told),
        continues=(~rows["terminated"]).to(rows["rewards"].dtype),
    )
