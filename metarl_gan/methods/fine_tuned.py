"""Multi-task training, then fine-tuning with the same adaptation data as meta-learners get."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from metarl_gan.agents.policies import make_policy
from metarl_gan.config_error import ConfigError
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.task import Task
from metarl_gan.evaluator import AdaptationCurve
from metarl_gan.methods.baseline_presets import FINE_TUNED
from metarl_gan.methods.baseline_settings import BaselineSettings
from metarl_gan.methods.method import Method, TrainedMethod
from metarl_gan.methods.multi_task_training import FineTunedSettings, MultiTaskTraining
from metarl_gan.methods.training_record import (
    RecordedMethod,
    TrainingRecord,
    load_training,
    save_training,
)
from metarl_gan.streams import Streams


def make_fine_tuned(name: str, overrides: Mapping[str, object], preset: str) -> Method:
    """The method of the registry; it has no presets but those of families.

    Raises `ConfigError` for settings that do not exist.
    """
    return FineTuned(name, overrides)


class FineTuned(Method):
    """One policy for all tasks, which is not told the task, fine-tuned by policy gradients.

    Args:
        name: in tables.
        overrides: of `FineTunedSettings` by dotted name; they win over a family's.
    """

    def __init__(self, name: str, overrides: Mapping[str, object]) -> None:
        self._settings = BaselineSettings(name, FineTunedSettings(), FINE_TUNED, overrides)

    @property
    def name(self) -> str:
        return self._settings.method

    def settings(self, family: TaskFamily) -> Mapping[str, object]:
        return self._settings.plain(family)

    def objection(self, family: TaskFamily) -> str | None:
        try:
            make_policy(family.observation_space, family.action_space)
        except ValueError as error:
            return str(error)
        return None

    def least_real_steps(self, family: TaskFamily) -> int:
        settings = self._settings.of(family)
        return settings.tasks_per_batch * settings.episodes_per_task * family.horizon

    def train(
        self, family: TaskFamily, *, seed: int, max_real_steps: int, folder: Path
    ) -> TrainedMethod:
        assignment = self._settings.assignment(
            family, seed=seed, max_real_steps=max_real_steps, folder=folder
        )
        least = self.least_real_steps(family)
        if max_real_steps < least:
            raise ConfigError(f"max_real_steps is {max_real_steps}; an update takes {least}")
        training = MultiTaskTraining(family, self._settings.of(family), Streams(seed))
        kept = load_training(assignment)
        if kept is None:
            kept = training.train(assignment)
            training.close()
            save_training(assignment, *kept)
        tensors, record = kept
        training.restore(tensors)
        return TrainedFineTuned(training, record)


class TrainedFineTuned(RecordedMethod):
    """The policy that validated best, with the fine-tuning that suited it best."""

    def __init__(self, training: MultiTaskTraining, record: TrainingRecord) -> None:
        super().__init__(record)
        self._training = training

    def adaptation_curve(
        self, tasks: Sequence[Task], episodes: int, *, seed: int, scored_episodes: int
    ) -> AdaptationCurve:
        (curve,), _ = self._training.curves(
            tasks,
            episodes,
            Streams(seed),
            scored_episodes=scored_episodes,
            candidates=[self._training.fine_tuning],
        )
        self._training.close()
        return curve
