"""The trainer: one meta-iteration is the whole method on one screen."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from metarl_gan.agents.collector import (
    AllTasksDroppedError,
    Collection,
    DroppedTask,
    play,
)
from metarl_gan.agents.networks import Parameters
from metarl_gan.agents.optimisers import with_prefix
from metarl_gan.components import Components
from metarl_gan.data_augmentation import Mixture
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.task import Task
from metarl_gan.generator_learner import AdversarialLearner, GeneratorLearner, NothingToLearn
from metarl_gan.meta_learner import Experience
from metarl_gan.streams import Streams
from metarl_gan.task_sampler import TaskSampler

Metrics = dict[str, float]


@dataclass(kw_only=True)
class Counters:
    """What has been spent and reached so far; every unit is in the name."""

    meta_iterations: int = 0
    real_steps: int = 0
    validation_real_steps: int = 0
    simulator_steps: int = 0
    """Steps of true environments that a simulator passed off as generated."""
    training_seconds: float = 0.0
    best_validation_return: float | None = None
    dropped_tasks: list[dict[str, str]] = field(default_factory=list)


class Trainer:
    """Meta-trains the components of an agent on a task family."""

    def __init__(self, components: Components, family: TaskFamily) -> None:
        config = components.config
        self.components = components
        self.family = family
        self.counters = Counters()
        self.streams = Streams(config.seed, components.device)
        self.task_sampler = TaskSampler(family, config.sampler, self.streams)
        self.meta_learner = components.meta_learner
        self.generator_learner: GeneratorLearner = NothingToLearn()
        if components.gan is not None:
            self.generator_learner = AdversarialLearner(components.gan, config, self.streams)
        self._dropped: list[DroppedTask] = []
        self._simulated_before = 0
        self._environments = components.environments(family)
        self.augmentation = components.augmentation(self._environments)

    def meta_iteration(self) -> Metrics:
        """Sample tasks, collect support, mix, adapt, collect query, update, learn to generate.

        Raises `AllTasksDroppedError` if every task of the batch returned broken numbers.
        """
        started, index = time.perf_counter(), self.counters.meta_iterations
        sampler, learner = self.components.config.sampler, self.meta_learner

        tasks = self.task_sampler.sample(index)
        support, tasks = self._collect("support", tasks, None, sampler.support_episodes)
        mixture = self.augmentation.mix(
            support.batch, self.streams.torch("imagination", index), tasks
        )
        adapted = learner.adapt(mixture, len(tasks))
        query, tasks = self._collect("query", tasks, adapted.parameters, sampler.query_episodes)
        experience = Experience(
            tasks=tasks,
            support=support.batch.select(query.kept),
            adapted=adapted.select(query.kept),
            query=query.batch,
            share=mixture.share[query.kept],
            reward_share=mixture.reward_share[query.kept],
            replay=self.generator_learner.replay,
        )
        real = [experience.support, experience.query]
        losses = self.generator_learner.learn(tasks, real)
        losses |= learner.update(experience, self.streams.torch("outer-loop", index))
        self.components.observe(real)

        self.counters.meta_iterations += 1
        self.counters.simulator_steps = self._simulated_before + self.augmentation.simulator_steps
        seconds = time.perf_counter() - started
        self.counters.training_seconds += seconds
        return self._metrics(support, query, mixture, seconds) | losses

    def take_dropped(self) -> list[DroppedTask]:
        """The tasks that were dropped since this was last asked, with all that was seen."""
        taken, self._dropped = self._dropped, []
        return taken

    def finished(self) -> bool:
        """Whether a budget is spent: iterations or real steps, whichever comes first."""
        config, counters = self.components.config, self.counters
        limit = config.max_real_steps
        if limit is not None and counters.real_steps + self._steps_per_iteration() > limit:
            return True
        return counters.meta_iterations >= config.iterations

    @property
    def most_real_steps(self) -> int:
        """Real steps that the whole run can take."""
        config = self.components.config
        most = config.iterations * self._steps_per_iteration()
        return most if config.max_real_steps is None else min(most, config.max_real_steps)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that training changes, for a checkpoint."""
        return {
            **self.components.tensors(),
            **{f"learner.{name}": v for name, v in self.generator_learner.tensors().items()},
        }

    def state(self) -> dict[str, Any]:
        """The rest of the state, as JSON values. Random streams need none: see `Streams`."""
        return {"counters": asdict(self.counters), "learner": self.generator_learner.counters()}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint as if never stopped."""
        self.components.restore(tensors)
        self.generator_learner.restore(with_prefix(tensors, "learner."), state["learner"])
        self.counters = Counters(**state["counters"])
        self._simulated_before = self.counters.simulator_steps

    def close(self) -> None:
        """Close the environments."""
        self._environments.close()

    def _collect(
        self, name: str, tasks: Sequence[Task], parameters: Parameters | None, n_episodes: int
    ) -> tuple[Collection, list[Task]]:
        """Real episodes of the policies, and the tasks that stayed healthy."""
        index = self.counters.meta_iterations
        stream = self.streams.torch(name, index)
        venv = self._environments.get(tasks, n_episodes)
        player = self.meta_learner.player(venv, parameters, stream)
        seed = self.streams.integer(f"{name}-environments", index)
        try:
            collection = play(venv, player, seed=seed, device=stream.device)
        except AllTasksDroppedError as error:
            self._count(error)
            raise
        self._count(collection)
        return collection, [tasks[int(kept)] for kept in collection.kept]

    def _count(self, played: Collection | AllTasksDroppedError) -> None:
        self.counters.real_steps += played.real_steps
        self._dropped += played.dropped
        self.counters.dropped_tasks += [
            {"task_id": dropped.task_id, "reason": dropped.summary} for dropped in played.dropped
        ]

    def _steps_per_iteration(self) -> int:
        """Most real steps that a meta-iteration can take."""
        sampler = self.components.config.sampler
        episodes = sampler.support_episodes + sampler.query_episodes
        return sampler.tasks_per_batch * episodes * self.family.horizon

    def _metrics(
        self, support: Collection, query: Collection, mixture: Mixture, seconds: float
    ) -> Metrics:
        real_steps = support.real_steps + query.real_steps
        metrics = {
            "real_steps": float(self.counters.real_steps),
            "real_steps_per_second": real_steps / seconds,
            "return_before_adaptation": float(support.batch.returns().mean()),
            "return_after_adaptation": float(query.batch.returns().mean()),
            "generated_share": float(mixture.share.mean()),
            "dropped_tasks": float(len(self.counters.dropped_tasks)),
        }
        if mixture.errors is not None:
            metrics |= {
                f"held_out_{name}_error": value for name, value in mixture.errors.means().items()
            }
        return metrics
