"""Gradient fidelity: does generated data pull a policy where the real task would?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metarl_gan.agents.collector import DroppedTask, collect
from metarl_gan.agents.networks import Parameters, expand_over_tasks
from metarl_gan.agents.policy_gradient import MixedRows, PolicyRows, policy_gradient
from metarl_gan.components import Components
from metarl_gan.data_augmentation import GeneratedAugmentation, policy_rows, shares
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.task import Task
from metarl_gan.envs.transitions import Transitions
from metarl_gan.gan import ConditionalGAN, HeldOutErrors
from metarl_gan.streams import Streams

REFERENCE_CHUNKS = 10
EPISODES_PER_CHUNK = 20
"""Real episodes per task that the true gradient is estimated from: chunks times episodes."""
IMAGINED_ROLLOUTS = 40
"""Imagined rollouts per task: enough that the cosine is about bias, not noise."""


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """Cosines to the true inner gradient by source, `[tasks]` each, and what went with them."""

    tasks: tuple[Task, ...]
    cosines: Mapping[str, np.ndarray]
    errors: HeldOutErrors
    share: Tensor
    real_steps: int
    dropped: tuple[DroppedTask, ...]


class FidelityMeter:
    """Compares inner gradients of a centred policy with the true one, task by task.

    The policy is a fresh one whose mean action is near 0 everywhere: for a policy that drifts
    every task's gradient points the same way, and any data looks faithful.
    """

    def __init__(self, components: Components, family: TaskFamily, streams: Streams) -> None:
        """Raises `ValueError` for an agent without a generator."""
        augmentation = components.augmentation()
        if components.gan is None or not isinstance(augmentation, GeneratedAugmentation):
            raise ValueError(
                "this agent was trained without a generator, so there is no fidelity to measure; "
                "train with generated=True and augmentation.mode gated or fixed"
            )
        self._components, self._streams = components, streams
        self._environments = components.environments(family)
        self._gan: ConditionalGAN = components.gan
        self._augmentation = augmentation
        self._fresh = components.policy.initial_parameters(streams.torch("fidelity-policy"))
        self.real_steps = 0
        self.dropped: list[DroppedTask] = []

    @property
    def reference_episodes(self) -> int:
        """Real episodes per task behind the true gradient."""
        return REFERENCE_CHUNKS * EPISODES_PER_CHUNK

    def measure(self, tasks: Sequence[Task], episodes: int) -> Fidelity:
        """Cosines on tasks that the generator has not seen.

        "real" is the gradient of `episodes` real episodes alone, "generated" of rollouts
        imagined from them, "mixed" what an inner step gets, "shuffled_context" of rollouts
        imagined from another task's episodes.
        """
        try:
            return self._measure(tasks, episodes)
        finally:
            self._environments.close()

    def _measure(self, tasks: Sequence[Task], episodes: int) -> Fidelity:
        support, healthy = self._collect(tasks, episodes, "support", 0)
        tasks = [tasks[int(index)] for index in healthy]
        true, tasks, kept = self._true_gradient(tasks)
        support = support.select(kept)
        context = self._gan.infer(support, self._streams.torch("fidelity-context"))
        share = shares(context.errors, self._components.config.augmentation)
        real = policy_rows(support, self._components.config.learner)
        generated = self._imagined(support, context.encoding)
        shuffled = self._imagined(support, context.encoding.roll(1, dims=0))
        sources = {
            "generated": MixedRows(real=generated),
            "mixed": MixedRows(real=real, generated=generated, share=share),
            "real": MixedRows(real=real),
            "shuffled_context": MixedRows(real=shuffled),
        }
        cosines = {
            name: torch.cosine_similarity(self._gradient(rows), true, dim=1).cpu().numpy()
            for name, rows in sources.items()
        }
        return Fidelity(
            tasks=tuple(tasks),
            cosines=cosines,
            errors=context.errors,
            share=share,
            real_steps=self.real_steps,
            dropped=tuple(self.dropped),
        )

    def _true_gradient(self, tasks: Sequence[Task]) -> tuple[Tensor, list[Task], Tensor]:
        """Mean gradient over chunks of real episodes, of the tasks healthy in all of them."""
        kept = torch.arange(len(tasks))
        gradients = torch.zeros(())
        for chunk in range(REFERENCE_CHUNKS):
            batch, healthy = self._collect(tasks, EPISODES_PER_CHUNK, "reference", chunk)
            if len(healthy) < len(tasks):
                kept, tasks = kept[healthy], [tasks[int(index)] for index in healthy]
                gradients = gradients[healthy] if chunk else gradients
            rows = policy_rows(batch, self._components.config.learner)
            gradients = gradients + self._gradient(MixedRows(real=rows)) / REFERENCE_CHUNKS
        return gradients, list(tasks), kept

    def _gradient(self, rows: MixedRows) -> Tensor:
        """Inner gradient per task as one vector, `[tasks, parameters]`."""
        parameters = self._parameters(len(rows.real.advantages))
        clip = self._components.config.learner.inner_clip
        by_name = policy_gradient(self._components.policy, parameters, rows, clip)
        return torch.cat([value.detach().flatten(1) for value in by_name.values()], dim=1)

    def _imagined(self, support: Transitions, encoding: Tensor) -> PolicyRows:
        stream = self._streams.torch("fidelity-imagination")
        dream = self._augmentation.dream(support, encoding, stream, IMAGINED_ROLLOUTS)
        return dream.rows(self._parameters(support.n_tasks))

    def _parameters(self, n_tasks: int) -> Parameters:
        return expand_over_tasks(self._fresh, n_tasks)

    def _collect(
        self, tasks: Sequence[Task], n_episodes: int, name: str, index: int
    ) -> tuple[Transitions, Tensor]:
        """Real episodes, and the indices of the tasks that stayed healthy."""
        collection = collect(
            self._environments.get(tasks, n_episodes),
            self._components.policy,
            self._parameters(len(tasks)),
            self._streams.torch(f"fidelity-{name}", index),
            seed=self._streams.integer(f"fidelity-{name}-environments", index),
        )
        self.real_steps += collection.real_steps
        self.dropped += collection.dropped
        return collection.batch, collection.kept
