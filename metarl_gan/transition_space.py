"""Transitions as the networks see them: normalised, with discrete actions one-hot."""

from dataclasses import dataclass

import gymnasium
import torch
from torch import Tensor, nn

from metarl_gan.action_encoding import make_encoding
from metarl_gan.envs.transitions import Transitions
from metarl_gan.normaliser import RunningNormaliser


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Normalised transitions `[..., rows, size]`; `valid [..., rows]` marks the real ones."""

    states: Tensor
    actions: Tensor
    changes: Tensor
    """Next states, or changes of state if the space is residual; the generator's target."""
    rewards: Tensor
    """With a last axis of size 1, as is `terminated`."""
    terminated: Tensor
    valid: Tensor

    def index(self, *indices: Tensor) -> "Rows":
        """Advanced indexing of the leading axes of every field."""
        return Rows(**{name: value[indices] for name, value in vars(self).items()})


MAX_STARTS = 512


class TransitionSpace(nn.Module):
    """Separate running normalisers of state, change of state and reward, for one family.

    Keeps the latest initial states too (a ring of `MAX_STARTS`), from which imagined episodes
    start: they precede what a task changes, so that those of any task will do.
    """

    starts: Tensor
    n_starts: Tensor

    def __init__(
        self, observation_space: gymnasium.Space, action_space: gymnasium.Space, *, residual: bool
    ) -> None:
        super().__init__()
        if observation_space.shape is None or len(observation_space.shape) != 1:
            raise ValueError(f"observation space {observation_space} is not a 1-D Box")
        self.state_size = int(observation_space.shape[0])
        self.residual = residual
        self.actions = make_encoding(action_space)
        self.action_size = self.actions.size
        self.register_buffer("starts", torch.zeros(MAX_STARTS, self.state_size))
        self.register_buffer("n_starts", torch.zeros((), dtype=torch.long))
        self.state = RunningNormaliser(self.state_size)
        self.change = RunningNormaliser(self.state_size)
        self.reward = RunningNormaliser(1)

    @torch.no_grad()
    def update(self, batch: Transitions) -> None:
        """Merge the valid rows of real transitions `[tasks, envs, time]` into the statistics."""
        first = batch.observations[:, :, 0].flatten(0, 1)[:MAX_STARTS]
        places = (self.n_starts + torch.arange(len(first), device=first.device)) % MAX_STARTS
        self.starts[places] = first
        self.n_starts += len(first)
        valid = batch.valid
        states, following = batch.observations[valid], batch.next_observations[valid]
        self.state.update(states)
        self.change.update(self.raw_change(states, following))
        self.reward.update(batch.rewards[valid].unsqueeze(-1))

    def draw_starts(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Initial states `[*shape, obs]` drawn from those kept."""
        uniform = torch.rand(shape, generator=generator, device=self.starts.device)
        return self.starts[(uniform * self.n_starts.clamp(max=MAX_STARTS)).long()]

    def rows(self, batch: Transitions) -> Rows:
        """Normalised rows of a batch, leading axes kept."""
        return Rows(
            states=self.state.normalise(batch.observations),
            actions=self.encode_actions(batch.actions),
            changes=self.change.normalise(
                self.raw_change(batch.observations, batch.next_observations)
            ),
            rewards=self.reward.normalise(batch.rewards.unsqueeze(-1)),
            terminated=batch.terminated.unsqueeze(-1).to(batch.rewards.dtype),
            valid=batch.valid,
        )

    def encode_actions(self, actions: Tensor) -> Tensor:
        """What the environment acts on: clipped to the space, bounded ones scaled to [-1, 1].

        Choices are one-hot, after the continuous components.
        """
        return self.actions.encode(actions)

    def raw_change(self, states: Tensor, following: Tensor) -> Tensor:
        """The generator's target for the next state, in the units of the environment."""
        return following - states if self.residual else following

    def next_states(self, states: Tensor, changes: Tensor) -> Tensor:
        """Next states, in the environment's units, from normalised changes."""
        raw = self.change.denormalise(changes)
        return states + raw if self.residual else raw
