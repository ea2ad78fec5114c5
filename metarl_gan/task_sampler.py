"""The TaskSampler: which tasks a meta-batch is trained on, and which are kept out of training."""

import numpy as np

from metarl_gan.config import SamplerConfig
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.task import Task
from metarl_gan.streams import Streams

MAX_REDRAWS = 20


class TaskSampler:
    """Draws meta-batches from the train split.

    Validation tasks come from the train split too and are never trained on, where the family
    has more tasks than that; nothing here ever sees the test split.
    """

    def __init__(self, family: TaskFamily, config: SamplerConfig, streams: Streams) -> None:
        self._family, self._config, self._streams = family, config, streams
        self.validation_tasks = family.sample(
            config.validation_tasks, split="train", seed=streams.integer("validation-tasks")
        )
        self._held_out = {task.id for task in self.validation_tasks}
        self._fixed: list[Task] = []
        if config.train_tasks:
            self._fixed = self._draw(config.train_tasks, streams.integer("train-tasks"))

    def sample(self, meta_iteration: int) -> list[Task]:
        """The meta-batch of an iteration: the same seed and iteration give the same tasks."""
        n_tasks = self._config.tasks_per_batch
        if not self._fixed:
            return self._draw(n_tasks, self._streams.integer("tasks", meta_iteration))
        # A fixed set is gone through in shuffled rounds, so that all tasks are seen equally often.
        batch: list[Task] = []
        position = meta_iteration * n_tasks
        while len(batch) < n_tasks:
            round_, offset = divmod(position, len(self._fixed))
            order = self._order(round_)
            take = order[offset : offset + n_tasks - len(batch)]
            batch += [self._fixed[index] for index in take]
            position += len(take)
        return batch

    def _order(self, round_: int) -> list[int]:
        generator = np.random.default_rng(self._streams.integer("task-order", round_))
        return generator.permutation(len(self._fixed)).tolist()

    def _draw(self, n_tasks: int, seed: int) -> list[Task]:
        """Tasks of the train split without the validation tasks, if there are any others."""
        kept: list[Task] = []
        for redraw in range(MAX_REDRAWS):
            drawn = self._family.sample(n_tasks, split="train", seed=seed + redraw)
            kept += [task for task in drawn if task.id not in self._held_out]
            if len(kept) >= n_tasks:
                return kept[:n_tasks]
        # A family of a few tasks only: validation cannot be kept apart from training.
        return self._family.sample(n_tasks, split="train", seed=seed)
