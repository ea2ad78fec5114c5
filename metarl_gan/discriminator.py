"""The Discriminator: is this transition one of the task that the encoding describes?"""

import torch
from torch import Tensor, nn

from metarl_gan.config import DiscriminatorConfig
from metarl_gan.layers import perceptron
from metarl_gan.transition_space import TransitionSpace


class Discriminator(nn.Module):
    """D(s, a, s', r, terminated | encoding): a logit, high for real transitions."""

    def __init__(
        self, space: TransitionSpace, encoding_size: int, config: DiscriminatorConfig
    ) -> None:
        super().__init__()
        n_inputs = 2 * space.state_size + space.action_size + 2 + encoding_size
        self.network = perceptron(n_inputs, config.hidden_sizes, 1, spectral=config.spectral_norm)

    def forward(
        self,
        states: Tensor,
        actions: Tensor,
        changes: Tensor,
        rewards: Tensor,
        terminated: Tensor,
        encoding: Tensor,
    ) -> Tensor:
        """Normalised inputs `[..., size]` with equal leading axes; logits `[...]`."""
        inputs = torch.cat([states, actions, changes, rewards, terminated, encoding], dim=-1)
        return self.network(inputs).squeeze(-1)


def discriminator_loss(real_logits: Tensor, generated_logits: Tensor) -> Tensor:
    """Binary cross-entropy of telling real from generated (Goodfellow et al. 2014, eq. 1)."""
    softplus = nn.functional.softplus
    return softplus(-real_logits).mean() + softplus(generated_logits).mean()


def generator_loss(generated_logits: Tensor) -> Tensor:
    """The non-saturating loss: -log D(generated) (Goodfellow et al. 2014, section 3)."""
    return nn.functional.softplus(-generated_logits).mean()
