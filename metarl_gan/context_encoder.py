"""The context encoder: from any number of real transitions of a task to its encoding."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from metarl_gan.generator_config import EncoderConfig
from metarl_gan.layers import perceptron
from metarl_gan.normaliser import RunningNormaliser
from metarl_gan.poolings import (
    AttentionPooling,
    MeanPooling,
    Pooling,
    ProductPooling,
    bounded_log_std,
)
from metarl_gan.transition_space import Rows, TransitionSpace


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """What a context says of the encoding before its tanh: a Gaussian `[..., size]`, or a point."""

    mean: Tensor
    log_std: Tensor | None
    """None: the mean is all that is inferred."""

    @property
    def encoding(self) -> Tensor:
        """The encoding in (-1, 1) of the mean, `[..., size]`."""
        return torch.tanh(self.mean)

    def sample(self, stream: torch.Generator) -> Tensor:
        """An encoding in (-1, 1) drawn from `stream`, `[..., size]`; gradients flow through it.

        Of a point it is `encoding`, and nothing is drawn.
        """
        if self.log_std is None:
            return self.encoding
        mean = self.mean
        noise = torch.randn(mean.shape, generator=stream, dtype=mean.dtype, device=mean.device)
        return torch.tanh(mean + self.log_std.exp() * noise)

    def divergence(self) -> Tensor:
        """Kullback-Leibler divergence from a standard normal in nats, `[...]`; 0 of a point."""
        if self.log_std is None:
            return self.mean.new_zeros(self.mean.shape[:-1])
        variance = (2.0 * self.log_std).exp()
        return (0.5 * (variance + self.mean.square() - 1.0) - self.log_std).sum(-1)


@final
class ContextEncoder(nn.Module):
    """Embeds each transition, pools the valid ones, and maps to an encoding in (-1, 1).

    Permutation-invariant, over any number of rows. The bounded encoding keeps what inversion
    refines within what the generator was trained on. Training takes two tasks at least, because
    what is pooled is standardised over them; in eval mode no task depends on another.

    Raises:
        ValueError: `encoder.descriptor` is set, but `descriptor_size` is 0.
    """

    descriptor: RunningNormaliser | None

    def __init__(
        self, space: TransitionSpace, config: EncoderConfig, descriptor_size: int = 0
    ) -> None:
        super().__init__()
        if config.descriptor and descriptor_size == 0:
            raise ValueError(
                "encoder.descriptor is set, but the tasks of this family have no descriptor: "
                "set encoder.descriptor to false"
            )
        self._descriptor_size = descriptor_size if config.descriptor else 0
        width = config.hidden_sizes[-1] if config.hidden_sizes else 64
        n_inputs = 2 * space.state_size + space.action_size + 2
        self.embed = perceptron(n_inputs, config.hidden_sizes, width)
        self.pooling = _pooling(width, config)
        # What all tasks share makes up most of a summary of transitions; standardised over a batch
        # of tasks, the differences that the encoding is to tell are not drowned in it.
        self.standardise = nn.BatchNorm1d(width, affine=False, momentum=0.02)
        self.posterior = config.posterior
        n_outputs = (2 if config.posterior else 1) * config.encoding_size
        self.head = perceptron(width + self._descriptor_size, (width,), n_outputs)
        self.descriptor = RunningNormaliser(self._descriptor_size) if config.descriptor else None

    def forward(self, context: Rows, descriptors: Tensor | None = None) -> Posterior:
        """What `context [..., rows, size]` says of each task, `[..., encoding_size]`.

        `descriptors [..., descriptor_size]` are ignored unless `encoder.descriptor` is set.

        Raises:
            ValueError: no descriptors, or of another shape, for an encoder that needs them.
        """
        inputs = torch.cat(
            [context.states, context.actions, context.changes, context.rewards, context.terminated],
            dim=-1,
        )
        # Whatever padding holds, NaN included, must reach neither values nor gradients.
        inputs = inputs.masked_fill(~context.valid.unsqueeze(-1), 0.0)
        features = self._features(inputs, context.valid)
        if self.descriptor is not None:
            known = self.descriptor.normalise(self._checked(descriptors, features.shape[:-1]))
            features = torch.cat([features, known.to(features.dtype)], dim=-1)
        outputs = self.head(features)
        if not self.posterior:
            return Posterior(mean=outputs, log_std=None)
        mean, log_std = outputs.chunk(2, dim=-1)
        return Posterior(mean=mean, log_std=bounded_log_std(log_std))

    def _features(self, inputs: Tensor, valid: Tensor) -> Tensor:
        """What the rows say, standardised over all leading axes; 0, the average, of none valid."""
        pooled = self.pooling(self.embed(inputs), valid)
        standardised = self.standardise(pooled.reshape(-1, pooled.shape[-1])).reshape(pooled.shape)
        return standardised.masked_fill(~valid.any(-1, keepdim=True), 0.0)

    def observe_descriptors(self, descriptors: Tensor) -> None:
        """Merge `descriptors [tasks, descriptor_size]` of training tasks into their normaliser.

        Nothing happens unless `encoder.descriptor` is set.

        Raises:
            ValueError: descriptors of another shape.
        """
        if self.descriptor is not None:
            self.descriptor.update(self._checked(descriptors, descriptors.shape[:1]))

    def _checked(self, descriptors: Tensor | None, leading: torch.Size) -> Tensor:
        shape = (*leading, self._descriptor_size)
        if descriptors is not None and descriptors.shape == shape:
            return descriptors
        given = "missing" if descriptors is None else f"of shape {tuple(descriptors.shape)}"
        raise ValueError(
            f"descriptors are {given}, but this encoder sees each task's descriptor, shape "
            f"{shape}: pass those of the tasks, or train with encoder.descriptor set to false"
        )


def _pooling(width: int, config: EncoderConfig) -> Pooling:
    if config.pooling == "attention":
        return AttentionPooling(width)
    return ProductPooling(width) if config.pooling == "product" else MeanPooling()
