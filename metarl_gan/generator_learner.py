"""GeneratorLearner: what becomes of the real episodes of a meta-batch besides the outer loop."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, final

from torch import Tensor

from metarl_gan.adversarial import AdversarialTrainer
from metarl_gan.config import Config
from metarl_gan.envs.transitions import Transitions
from metarl_gan.gan import ConditionalGAN
from metarl_gan.optimisers import optimiser_tensors, restore_optimiser, with_prefix
from metarl_gan.replay import Replay
from metarl_gan.streams import Streams


class GeneratorLearner(ABC):
    """The role: learn to generate from the real episodes of a meta-batch."""

    @abstractmethod
    def learn(self, task_ids: Sequence[str], batches: Sequence[Transitions]) -> dict[str, float]:
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
    """The arm without a generator."""

    def learn(self, task_ids: Sequence[str], batches: Sequence[Transitions]) -> dict[str, float]:
        return {}

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def counters(self) -> dict[str, Any]:
        return {}

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        return None


@final
class AdversarialLearner(GeneratorLearner):
    """Replay, and adversarial training on it."""

    def __init__(self, gan: ConditionalGAN, config: Config, streams: Streams) -> None:
        self._gan, self._config, self._streams = gan, config.adversarial, streams
        self._trainer = AdversarialTrainer(gan, config.adversarial, config.encoder.min_context)
        self.replay = Replay(
            config.adversarial.replay_tasks, config.adversarial.replay_episodes, streams.device
        )

    def learn(self, task_ids: Sequence[str], batches: Sequence[Transitions]) -> dict[str, float]:
        for batch in batches:
            self._gan.space.update(batch)
            self.replay.add(task_ids, batch)
        first = self._trainer.gan_updates == 0
        n_updates = self._config.initial_updates if first else self._config.updates_per_iteration
        if n_updates == 0 or not self.replay.ready:
            return {}
        losses = self._trainer.train(self.replay, n_updates, self._streams)
        return {**losses, "gan_updates": float(self._trainer.gan_updates)}

    def tensors(self) -> dict[str, Tensor]:
        trainer = self._trainer
        parts = {
            "replay.": self.replay.tensors(),
            "generator_optimiser.": optimiser_tensors(trainer.generator_optimiser),
            "discriminator_optimiser.": optimiser_tensors(trainer.discriminator_optimiser),
        }
        return {prefix + name: v for prefix, part in parts.items() for name, v in part.items()}

    def counters(self) -> dict[str, Any]:
        return {"gan_updates": self._trainer.gan_updates, "replay": self.replay.counters()}

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        trainer = self._trainer
        self.replay.restore(with_prefix(tensors, "replay."), counters["replay"])
        for name, optimiser in (
            ("generator_optimiser.", trainer.generator_optimiser),
            ("discriminator_optimiser.", trainer.discriminator_optimiser),
        ):
            restore_optimiser(optimiser, with_prefix(tensors, name))
        trainer.gan_updates = counters["gan_updates"]
