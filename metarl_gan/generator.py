"""The Generator: transitions of one task, synthesised from its encoding."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metarl_gan.agents.networks import Parameters
from metarl_gan.transition_space import Rows, TransitionSpace


@dataclass(frozen=True, kw_only=True)
class Generated:
    """What the generator says of one step, normalised: `[..., size]`, `[..., 1]`, `[..., 1]`."""

    changes: Tensor
    rewards: Tensor
    terminated_logits: Tensor

    def detach(self) -> "Generated":
        """The same values, through which no gradient flows."""
        return Generated(**{name: value.detach() for name, value in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class RowLosses:
    """How far the generator is from real transitions, by head: `[batch, rows]` each."""

    state: Tensor
    reward: Tensor
    terminated: Tensor


class Generator(nn.Module, ABC):
    """The role: G(s, a, encoding, z) -> next state, reward, terminated.

    All members are evaluated in one call: every parameter has a leading axis of members, and so
    do inputs, `[members, rows, size]`. Weights are passed in, so that those of generators that
    adapted to a task each, `[members * tasks, ...]`, serve as well; that axis is named `batch`.

    The reward is a network of its own, asked about the change of state that was generated: a
    shared network under-learns it.
    """

    def __init__(self, space: TransitionSpace, encoding_size: int, n_members: int) -> None:
        super().__init__()
        self.state_size, self.action_size = space.state_size, space.action_size
        self.encoding_size, self.n_members = encoding_size, n_members

    @property
    @abstractmethod
    def noise_size(self) -> int:
        """Size of z ~ N(0, 1) of a transition."""

    @property
    def reward_noise_size(self) -> int:
        """Size of z ~ N(0, 1) of a reward, given the transition."""
        return 0

    @abstractmethod
    def transition(self, weights: Parameters, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Changes `[batch, rows, state]` and logits of termination `[batch, rows, 1]`.

        `inputs [batch, rows, state + action + encoding + noise]`, all normalised, lie side by side,
        because a rollout has them so already.
        """

    @abstractmethod
    def rewards(
        self,
        weights: Parameters,
        states: Tensor,
        actions: Tensor,
        changes: Tensor,
        encoding: Tensor,
        noise: Tensor,
    ) -> Tensor:
        """Normalised rewards `[batch, rows, 1]` of given transitions: also relabels real ones.

        `noise [batch, rows, reward_noise_size]`.
        """

    @abstractmethod
    def losses(
        self, weights: Parameters, rows: Rows, encoding: Tensor, stream: torch.Generator | None
    ) -> RowLosses:
        """What each real row `[batch, rows]` costs, with `encoding [batch, rows, size]`.

        The reward is asked about the real change of state, so that its error is its own. Noise is
        drawn from `stream`; without one it is 0, or whatever makes the losses a fixed function.
        """

    def weights(self) -> dict[str, Tensor]:
        """Its own parameters by name, `[members, ...]` each."""
        return dict(self.named_parameters())

    def generate(
        self,
        weights: Parameters,
        states: Tensor,
        actions: Tensor,
        encoding: Tensor,
        noise: Tensor,
        known_changes: Tensor | None = None,
    ) -> Generated:
        """One step from normalised states and actions, `[batch, rows, size]` each.

        `noise [batch, rows, noise_size + reward_noise_size]`. With `known_changes`, the reward is
        that of these real changes of state, so that its error is its own.
        """
        of_step, of_reward = noise.split([self.noise_size, self.reward_noise_size], dim=-1)
        inputs = torch.cat([states, actions, encoding, of_step], dim=-1)
        changes, terminated_logits = self.transition(weights, inputs)
        rewarded = changes if known_changes is None else known_changes
        rewards = self.rewards(weights, states, actions, rewarded, encoding, of_reward)
        return Generated(changes=changes, rewards=rewards, terminated_logits=terminated_logits)


def over_rows(encoding: Tensor, n_rows: int) -> Tensor:
    """Repeat encodings `[..., size]` along a new axis of rows: `[..., n_rows, size]`."""
    return encoding.unsqueeze(-2).expand(*encoding.shape[:-1], n_rows, encoding.shape[-1])
