"""The Generator: transitions of one task, synthesised from its encoding."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metarl_gan.config import GeneratorConfig
from metarl_gan.layers import perceptron
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


class Generator(nn.Module):
    """G(s, a, encoding, z) -> next state, reward, terminated.

    The reward has a network of its own, on the generated change of state, because a shared
    one under-learns it; the termination is a head of the dynamics network.
    """

    def __init__(self, space: TransitionSpace, encoding_size: int, config: GeneratorConfig) -> None:
        super().__init__()
        self.noise_size = config.noise_size
        self.state_size = space.state_size
        conditions = space.state_size + space.action_size + encoding_size
        self.dynamics = perceptron(
            conditions + config.noise_size, config.hidden_sizes, space.state_size + 1
        )
        self.reward = perceptron(conditions + space.state_size, config.hidden_sizes, 1)

    def forward(
        self, states: Tensor, actions: Tensor, encoding: Tensor, noise: Tensor
    ) -> Generated:
        """Normalised inputs with equal leading axes; `noise [..., noise_size]` is z ~ N(0, 1)."""
        changes, terminated_logits = self.step(
            torch.cat([states, actions, encoding, noise], dim=-1)
        )
        return Generated(
            changes=changes,
            rewards=self.rewards(states, actions, changes, encoding),
            terminated_logits=terminated_logits,
        )

    def step(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Changes and logits of termination from rows of states, actions, encoding and noise.

        For rollouts, which have these rows side by side already and need no reward to go on.
        """
        outputs = self.dynamics(inputs)
        return outputs[..., : self.state_size], outputs[..., self.state_size :]

    def rewards(self, states: Tensor, actions: Tensor, changes: Tensor, encoding: Tensor) -> Tensor:
        """Normalised rewards of given transitions under an encoding: also relabels real ones."""
        return self.reward(torch.cat([states, actions, changes, encoding], dim=-1))

    def on_rows(self, rows: Rows, encoding: Tensor, noise: Tensor) -> Generated:
        """What is generated at the states and actions of `rows`, rewards at their true changes.

        The reward is asked about the real change of state, so that its error is its own and
        not the dynamics network's.
        """
        generated = self(rows.states, rows.actions, encoding, noise)
        rewards = self.rewards(rows.states, rows.actions, rows.changes, encoding)
        return Generated(
            changes=generated.changes,
            rewards=rewards,
            terminated_logits=generated.terminated_logits,
        )


def over_rows(encoding: Tensor, n_rows: int) -> Tensor:
    """Repeat encodings `[..., size]` along a new axis of rows: `[..., n_rows, size]`."""
    return encoding.unsqueeze(-2).expand(*encoding.shape[:-1], n_rows, encoding.shape[-1])
