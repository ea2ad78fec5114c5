"""GeneratorLearner: what becomes of the real episodes of a meta-batch besides the outer loop."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from metarl_gan.adversarial import AdversarialTrainer
from metarl_gan.agents.optimisers import optimiser_tensors, restore_optimiser, with_prefix
from metarl_gan.config import Config
from metarl_gan.descriptors import descriptors_of
from metarl_gan.envs.task import Task
from metarl_gan.envs.transitions import Transitions
from metarl_gan.gan import ConditionalGAN
from metarl_gan.replay import Replay
from metarl_gan.streams import Streams
from metarl_gan.transition_space import Rows


class GeneratorLearner(ABC):
    """The role: learn to generate from the real episodes of a meta-batch."""

    @property
    @abstractmethod
    def replay(self) -> Replay | None:
        """The real episodes so far, where they are kept."""

    @abstractmethod
    def learn(self, tasks: Sequence[Task], batches: Sequence[Transitions]) -> dict[str, float]:
        """Take in episodes `[tasks, envs, time]` of the same tasks; losses to log."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Replay and optimisers, for a checkpoint; the weights are among the components."""

    @abstractmethod
    def counters(self) -> dict[str, Any]:
        """The rest of the state, as JSON values."""

    @abstractmethod
    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """Inverse of `tensors` and `counters`."""


@final
class NothingToLearn(GeneratorLearner):
    """The arm without a generator that is learnt."""

    @property
    def replay(self) -> None:
        return None

    def learn(self, tasks: Sequence[Task], batches: Sequence[Transitions]) -> dict[str, float]:
        return {}

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def counters(self) -> dict[str, Any]:
        return {}

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        return None


@final
class AdversarialLearner(GeneratorLearner):
    """Replay, and adversarial training on it, with a way back when that diverges."""

    def __init__(self, gan: ConditionalGAN, config: Config, streams: Streams) -> None:
        self._gan, self._config, self._streams = gan, config.adversarial, streams
        self._trainer = AdversarialTrainer(gan, config)
        self._rollbacks = 0
        self._replay = Replay(
            config.adversarial.replay_tasks,
            config.adversarial.replay_episodes,
            streams.device,
            gan.descriptor_size,
        )

    @property
    def replay(self) -> Replay:
        return self._replay

    def learn(self, tasks: Sequence[Task], batches: Sequence[Transitions]) -> dict[str, float]:
        descriptors = descriptors_of(tasks, self._streams.device)
        self._compare_members(batches, descriptors)
        if self._gan.descriptor_size:
            self._gan.encoder.observe_descriptors(descriptors)
        for batch in batches:
            self._gan.space.update(batch)
            self.replay.add([task.id for task in tasks], batch, descriptors)
        first = self._trainer.gan_updates == 0
        n_updates = self._config.initial_updates if first else self._config.updates_per_iteration
        if n_updates == 0 or not self.replay.ready:
            return {}
        return self._train(n_updates)

    def _compare_members(self, batches: Sequence[Transitions], descriptors: Tensor) -> None:
        """Before anything of these episodes is learnt: the first are context to the last."""
        if self._trainer.gan_updates == 0:
            return
        context, held_out = (_flat(self._gan.space.rows(batches[end])) for end in (0, -1))
        known = descriptors if self._gan.descriptor_size else None
        self._gan.compare_members(context, held_out, known)

    def _train(self, n_updates: int) -> dict[str, float]:
        """Some updates; those that diverge are taken back, counted and told."""
        good = {name: value.clone() for name, value in self._gan.state_dict().items()}
        losses = self._trainer.train(self.replay, n_updates, self._streams)
        norm = losses["gradient_norm"]
        finite = all(math.isfinite(value) for value in losses.values()) and self._whole()
        if not finite or norm > self._config.max_gradient_norm:
            self._roll_back(good)
            losses = {}
        counters = {"gan_updates": self._trainer.gan_updates, "gan_rollbacks": self._rollbacks}
        return {**losses, **{name: float(value) for name, value in counters.items()}}

    def _whole(self) -> bool:
        """Whether every weight is a number: the last update's do not show in any loss yet."""
        finite = [weight.isfinite().all() for weight in self._gan.parameters()]
        return bool(torch.stack(finite).all())

    @torch.no_grad()
    def _roll_back(self, good: Mapping[str, Tensor]) -> None:
        """Go on from the last good average, with fresh optimisers; later draws are other ones."""
        self._gan.load_state_dict(dict(good))
        for part, average in (
            (self._gan.encoder, self._gan.averaged_encoder),
            (self._gan.generator, self._gan.averaged_generator),
        ):
            if average.n_averaged > 0:
                part.load_state_dict(average.module.state_dict())
        for optimiser in self._trainer.optimisers.values():
            optimiser.state.clear()
        self._rollbacks += 1

    def tensors(self) -> dict[str, Tensor]:
        parts = {"replay.": self.replay.tensors()} | {
            f"{name}_optimiser.": optimiser_tensors(optimiser)
            for name, optimiser in self._trainer.optimisers.items()
        }
        return {prefix + name: v for prefix, part in parts.items() for name, v in part.items()}

    def counters(self) -> dict[str, Any]:
        return {
            "gan_updates": self._trainer.gan_updates,
            "gan_rollbacks": self._rollbacks,
            "replay": self.replay.counters(),
        }

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        self.replay.restore(with_prefix(tensors, "replay."), counters["replay"])
        for name, optimiser in self._trainer.optimisers.items():
            restore_optimiser(optimiser, with_prefix(tensors, f"{name}_optimiser."))
        self._trainer.gan_updates = counters["gan_updates"]
        self._rollbacks = counters["gan_rollbacks"]


def _flat(rows: Rows) -> Rows:
    return Rows(**{name: value.flatten(1, 2) for name, value in vars(rows).items()})
