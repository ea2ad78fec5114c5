"""The context encoder: from any number of real transitions of a task to its encoding."""

import torch
from torch import Tensor, nn

from metarl_gan.config import EncoderConfig
from metarl_gan.layers import perceptron
from metarl_gan.transition_space import Rows, TransitionSpace


class ContextEncoder(nn.Module):
    """Embeds each transition, averages over the valid ones, and maps to an encoding in (-1, 1).

    Permutation-invariant (Zaheer et al. 2017, "Deep sets"). The bounded encoding keeps what
    inversion refines within what the generator was trained on.
    """

    def __init__(self, space: TransitionSpace, config: EncoderConfig) -> None:
        super().__init__()
        width = config.hidden_sizes[-1] if config.hidden_sizes else 64
        n_inputs = 2 * space.state_size + space.action_size + 2
        self.embed = perceptron(n_inputs, config.hidden_sizes, width)
        # What all tasks share makes up most of a mean over transitions; standardised over a
        # batch of tasks, the differences that the encoding is to tell are not drowned in it.
        self.standardise = nn.BatchNorm1d(width, affine=False, momentum=0.02)
        self.head = perceptron(width, (width,), config.encoding_size)

    def forward(self, context: Rows) -> Tensor:
        """`context [..., rows, size]` to encodings `[..., encoding_size]`."""
        inputs = torch.cat(
            [context.states, context.actions, context.changes, context.rewards, context.terminated],
            dim=-1,
        )
        weight = context.valid.to(inputs.dtype).unsqueeze(-1)
        pooled = (self.embed(inputs) * weight).sum(-2) / weight.sum(-2).clamp(min=1.0)
        return torch.tanh(self.head(self.standardise(pooled)))
