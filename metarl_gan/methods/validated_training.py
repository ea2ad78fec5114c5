"""Training a model of Stable-Baselines3 within a budget, validated on the way."""

import time
from collections.abc import Callable, Sequence

from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from metarl_gan.agents.sb3_learner import Sb3Learner
from metarl_gan.evaluator import AdaptationCurve
from metarl_gan.methods.method import LearningPoint
from metarl_gan.methods.training_record import TrainingRecord

VALIDATIONS = 20
"""Validations in a training, evenly over its real steps, as far as updates are that many."""

Validate = Callable[[], AdaptationCurve]


def train_validated(
    learner: Sb3Learner, steps: int, validate: Validate, callbacks: Sequence[BaseCallback] = ()
) -> tuple[dict[str, Tensor], TrainingRecord]:
    """Learn for `steps` real steps: the weights that validated best, and the record.

    What a curve's last column says counts. Raises `AllTasksDroppedError` if all tasks break.
    """
    referee = _Referee(learner, max(1, steps // VALIDATIONS), validate)
    learner.learn(steps, [*callbacks, referee])
    referee.judge()
    return referee.best, TrainingRecord(
        real_steps=learner.trials.real_steps,
        validation_real_steps=referee.real_steps,
        training_seconds=referee.training_seconds,
        learning_curve=tuple(referee.points),
    )


class _Referee(BaseCallback):
    """Validates before a rollout once enough steps have gone by, and keeps the best weights."""

    def __init__(self, learner: Sb3Learner, every: int, validate: Validate) -> None:
        super().__init__()
        self._learner, self._every, self._validate = learner, every, validate
        self._began, self._judging_seconds = time.perf_counter(), 0.0
        self.real_steps = 0
        self.points: list[LearningPoint] = []
        self.best: dict[str, Tensor] = {}

    @property
    def training_seconds(self) -> float:
        return time.perf_counter() - self._began - self._judging_seconds

    def judge(self) -> None:
        """Validate, unless these very weights have been."""
        taken = self._learner.trials.real_steps
        if self.points and self.points[-1].real_steps == taken:
            return
        seconds, began = self.training_seconds, time.perf_counter()
        curve = self._validate()
        self.real_steps += curve.real_steps
        score = float(curve.returns[:, -1].mean())
        if not self.points or score > max(point.validation_return for point in self.points):
            self.best = self._learner.tensors()
        self.points.append(
            LearningPoint(real_steps=taken, seconds=seconds, validation_return=score)
        )
        self._judging_seconds += time.perf_counter() - began

    def _on_rollout_start(self) -> None:
        last = self.points[-1].real_steps if self.points else 0
        if self._learner.trials.real_steps >= last + self._every:
            self.judge()

    def _on_step(self) -> bool:
        return True
