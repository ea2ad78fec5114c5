"""Gradient fidelity: does generated data pull a policy where the real task would?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metarl_gan.agents.collector import DroppedTask, collect
from metarl_gan.agents.networks import Parameters, expand_over_tasks
from metarl_gan.agents.policies import make_policy
from metarl_gan.agents.policy_gradient import MixedRows, PolicyRows, policy_gradient
from metarl_gan.components import Components
from metarl_gan.data_augmentation import GeneratedAugmentation, shares
from metarl_gan.descriptors import descriptors_of
from metarl_gan.dreams import policy_rows
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.task import Task
from metarl_gan.envs.transitions import Transitions
from metarl_gan.gan import ConditionalGAN, TaskContext
from metarl_gan.gradient_cosines import others_cosines, own_cosines
from metarl_gan.held_out_errors import HeldOutErrors
from metarl_gan.streams import Streams
from metarl_gan.transition_meter import transition_fidelity
from metarl_gan.transition_report import TransitionFidelity

REFERENCE_CHUNKS = 10
EPISODES_PER_CHUNK = 20
"""Real episodes per task that the true gradient is estimated from: chunks times episodes."""
MANY_EPISODES = 20
"""Real episodes per task of "real_20", against which transitions are held, too."""
IMAGINED_ROLLOUTS = 400
"""Imagined rollouts per task: enough that the cosine is about bias, not noise."""


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """Cosines to the true inner gradient by source, `[tasks]` each, and what went with them.

    `task_specific` are cosines of what is left of the gradients without the mean of the true
    ones over tasks.
    """

    tasks: tuple[Task, ...]
    cosines: Mapping[str, np.ndarray]
    task_specific: Mapping[str, np.ndarray]
    transitions: TransitionFidelity
    errors: HeldOutErrors
    share: Tensor
    real_steps: int
    dropped: tuple[DroppedTask, ...]


@dataclass(frozen=True, kw_only=True)
class _Real:
    """Real episodes of tasks that were healthy in all of them, and their true gradients."""

    tasks: tuple[Task, ...]
    support: Transitions
    held_out: Transitions
    gradients: Tensor


class FidelityMeter:
    """Compares inner gradients of a centred policy with the true one, task by task.

    The policy is a fresh one whose mean action is near 0 everywhere: for a policy that drifts
    every task's gradient points the same way, and any data looks faithful. It sees observations
    as they are, for the same reason: standardised ones make most of the gradient "back to where
    the agent mostly was", whatever the task.
    """

    def __init__(self, components: Components, family: TaskFamily, streams: Streams) -> None:
        """Raises `ValueError` for an agent without a generator."""
        if components.gan is None:
            raise ValueError(
                "this agent was trained without a generator, so there is no fidelity to measure; "
                "train with generated=True, augmentation.mode other than none, and a "
                "generator.kind that learns"
            )
        augmentation = components.augmentation()
        assert isinstance(augmentation, GeneratedAugmentation)
        self._components, self._streams = components, streams
        self._environments = components.environments(family)
        self._gan: ConditionalGAN = components.gan
        self._augmentation = augmentation
        settings = components.config.policy
        self._policy = make_policy(
            components.observation_space,
            components.action_space,
            hidden_sizes=settings.hidden_sizes,
            activation=settings.activation,
            initial_std=settings.initial_std,
            device=components.device,
        )
        self._fresh = self._policy.initial_parameters(streams.torch("fidelity-policy"))
        self.real_steps = 0
        self.dropped: list[DroppedTask] = []

    @property
    def reference_episodes(self) -> int:
        """Real episodes per task behind the true gradient."""
        return REFERENCE_CHUNKS * EPISODES_PER_CHUNK

    def measure(self, tasks: Sequence[Task], episodes: int) -> Fidelity:
        """Cosines on tasks that the generator has not seen.

        "real" is the gradient of `episodes` real episodes alone, "generated" of rollouts
        imagined from them, "mixed" what an inner step gets, "real_20" of twenty other real
        episodes, "other_task" the true gradient of other tasks, "shuffled_context" of rollouts
        imagined from another task's episodes: a perfect generator has "other_task" there.
        """
        try:
            real = self._collect_all(tasks, episodes)
        finally:
            self._environments.close()
        context = self._infer(real)
        share = shares(self._gan, context.errors, self._components.config.augmentation)
        gradients, shuffled = self._gradients(real, context, share)
        true, mean = real.gradients, real.gradients.mean(0)
        stream = self._streams.torch("fidelity-transitions")
        return Fidelity(
            tasks=real.tasks,
            cosines=_cosines(gradients, shuffled, true, torch.zeros_like(mean)),
            task_specific=_cosines(gradients, shuffled, true, mean),
            transitions=transition_fidelity(self._gan, context, real.held_out, stream),
            errors=context.errors,
            share=share,
            real_steps=self.real_steps,
            dropped=tuple(self.dropped),
        )

    def _infer(self, real: _Real) -> TaskContext:
        descriptors = None
        if self._components.config.encoder.descriptor:
            descriptors = descriptors_of(real.tasks, self._components.device)
        stream = self._streams.torch("fidelity-context")
        return self._gan.infer(real.support, stream, descriptors)

    def _gradients(
        self, real: _Real, context: TaskContext, share: Tensor
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Gradients `[tasks, parameters]` by source, and those under the neighbour's context.

        The latter only if rollouts begin where each task has been, and not all alike.
        """
        rows = self._rows(real.support)
        generated = self._imagined(real.support, context)
        sources = {
            "generated": MixedRows(real=generated),
            "mixed": MixedRows(real=rows, generated=generated, share=share),
            "real": MixedRows(real=rows),
            "real_20": MixedRows(real=self._rows(real.held_out)),
        }
        gradients = {name: self._gradient(part) for name, part in sources.items()}
        if self._components.config.augmentation.start == "initial":
            return gradients, None
        shuffled = self._imagined(real.support, context.roll())
        return gradients, self._gradient(MixedRows(real=shuffled))

    def _collect_all(self, tasks: Sequence[Task], episodes: int) -> _Real:
        support, kept = self._collect(tasks, episodes, "support", 0)
        tasks = [tasks[int(index)] for index in kept]
        held_out, kept = self._collect(tasks, MANY_EPISODES, "held-out", 0)
        tasks, support = [tasks[int(index)] for index in kept], support.select(kept)
        gradients, kept = self._true_gradient(tasks)
        return _Real(
            tasks=tuple(tasks[int(index)] for index in kept),
            support=support.select(kept),
            held_out=held_out.select(kept),
            gradients=gradients,
        )

    def _true_gradient(self, tasks: Sequence[Task]) -> tuple[Tensor, Tensor]:
        """Mean gradient over chunks of real episodes, and the tasks healthy in all of them."""
        kept = torch.arange(len(tasks))
        gradients = torch.zeros(())
        for chunk in range(REFERENCE_CHUNKS):
            now = [tasks[int(index)] for index in kept]
            batch, healthy = self._collect(now, EPISODES_PER_CHUNK, "reference", chunk)
            if len(healthy) < len(kept):
                kept = kept[healthy]
                gradients = gradients[healthy] if chunk else gradients
            gradient = self._gradient(MixedRows(real=self._rows(batch)))
            gradients = gradients + gradient / REFERENCE_CHUNKS
        return gradients, kept

    def _gradient(self, rows: MixedRows) -> Tensor:
        """Inner gradient per task as one vector, `[tasks, parameters]`."""
        parameters = self._parameters(len(rows.real.advantages))
        clip = self._components.config.learner.inner_clip
        by_name = policy_gradient(self._policy, parameters, rows, clip)
        return torch.cat([value.detach().flatten(1) for value in by_name.values()], dim=1)

    def _rows(self, batch: Transitions) -> PolicyRows:
        return policy_rows(batch, self._components.config.learner)

    def _imagined(self, support: Transitions, context: TaskContext) -> PolicyRows:
        stream = self._streams.torch("fidelity-imagination")
        dream = self._augmentation.dream(
            support, context, stream, IMAGINED_ROLLOUTS, policy=self._policy
        )
        return dream.rows(self._parameters(support.n_tasks))

    def _parameters(self, n_tasks: int) -> Parameters:
        return expand_over_tasks(self._fresh, n_tasks)

    def _collect(
        self, tasks: Sequence[Task], n_episodes: int, name: str, index: int
    ) -> tuple[Transitions, Tensor]:
        """Real episodes, and the indices of the tasks that stayed healthy."""
        collection = collect(
            self._environments.get(tasks, n_episodes),
            self._policy,
            self._parameters(len(tasks)),
            self._streams.torch(f"fidelity-{name}", index),
            seed=self._streams.integer(f"fidelity-{name}-environments", index),
        )
        self.real_steps += collection.real_steps
        self.dropped += collection.dropped
        return collection.batch, collection.kept


def _cosines(
    gradients: Mapping[str, Tensor], shuffled: Tensor | None, true: Tensor, centre: Tensor
) -> dict[str, np.ndarray]:
    """Cosines `[tasks]` to the true gradients by source, all gradients less `centre`."""
    true = true - centre
    found = {name: own_cosines(value - centre, true) for name, value in gradients.items()}
    found["other_task"] = others_cosines(true, true)
    if shuffled is None:
        found["shuffled_context"] = others_cosines(gradients["generated"] - centre, true)
    else:
        alone = len(true) == 1
        cosines = own_cosines(shuffled - centre, true)
        found["shuffled_context"] = cosines.fill_(torch.nan) if alone else cosines
    return {name: value.cpu().numpy() for name, value in found.items()}
