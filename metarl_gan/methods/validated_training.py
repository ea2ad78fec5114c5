"""Training a model of Stable-Baselines3 within a budget, validated on the way."""

import time
from collections.abc import Callable, Sequence

from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from metarl_gan.agents.optimisers import with_prefix
from metarl_gan.agents.sb3_learner import Sb3Learner
from metarl_gan.evaluator import AdaptationCurve
from metarl_gan.methods.method import LearningPoint
from metarl_gan.methods.training_record import (
    Assignment,
    TrainingRecord,
    load_progress,
    save_progress,
)
from metarl_gan.methods.validations import Validations

VALIDATIONS = 20
"""Validations in a training, evenly over its real steps, as far as updates are that many."""

Validate = Callable[[], AdaptationCurve]


def train_validated(
    learner: Sb3Learner,
    assignment: Assignment,
    steps: int,
    validate: Validate,
    callbacks: Sequence[BaseCallback] = (),
) -> tuple[dict[str, Tensor], TrainingRecord]:
    """Learn for `steps` real steps: the weights that validated best, and the record.

    What a curve's last column says counts. An interrupted training of the assignment is gone on
    with, from the block of trials after its last validation. Raises `AllTasksDroppedError` if all
    tasks break, and as `load_progress` does.
    """
    referee = _Referee(learner, assignment, max(1, steps // VALIDATIONS), validate)
    referee.resume()
    learner.learn(steps - learner.model.num_timesteps, [*callbacks, referee])
    referee.judge()
    found = referee.validations
    return found.best, found.record(learner.trials.real_steps, referee.training_seconds)


class _Referee(BaseCallback):
    """Validates before a rollout once enough steps have gone by, and keeps the best weights.

    Where the next block of trials begins, it saves what training goes on from.
    """

    def __init__(
        self, learner: Sb3Learner, assignment: Assignment, every: int, validate: Validate
    ) -> None:
        super().__init__()
        self._learner, self._assignment = learner, assignment
        self._every, self._validate = every, validate
        self._began, self._judging_seconds = time.perf_counter(), 0.0
        self._saved_points = 0
        self.validations = Validations()

    @property
    def training_seconds(self) -> float:
        return time.perf_counter() - self._began - self._judging_seconds

    def judge(self) -> None:
        """Validate, unless these very weights have been."""
        taken, found = self._learner.trials.real_steps, self.validations
        if found.points and found.last_real_steps == taken:
            return
        seconds, began = self.training_seconds, time.perf_counter()
        curve = self._validate()
        score = float(curve.returns[:, -1].mean())
        point = LearningPoint(real_steps=taken, seconds=seconds, validation_return=score)
        found.add(point, curve.real_steps, self._learner.tensors)
        self._judging_seconds += time.perf_counter() - began

    def resume(self) -> None:
        """Go on from what was saved, if anything was."""
        saved = load_progress(self._assignment)
        if saved is None:
            return
        tensors, state = saved
        self._learner.restore_training(with_prefix(tensors, "training."))
        self.validations.restore(with_prefix(tensors, "best."), state["validations"])
        self._saved_points = len(self.validations.points)
        self._began = time.perf_counter() - state["training_seconds"]

    def _save(self) -> None:
        found, began = self.validations, time.perf_counter()
        parts = {"training": self._learner.training_tensors(), "best": found.best}
        tensors = {f"{part}.{name}": v for part, own in parts.items() for name, v in own.items()}
        state = {"validations": found.state(), "training_seconds": self.training_seconds}
        save_progress(self._assignment, tensors, state)
        self._saved_points = len(found.points)
        self._judging_seconds += time.perf_counter() - began

    def _on_rollout_start(self) -> None:
        found, trials = self.validations, self._learner.trials
        if trials.real_steps >= found.last_real_steps + self._every:
            self.judge()
        if len(found.points) > self._saved_points and trials.begins_block:
            self._save()

    def _on_step(self) -> bool:
        return True
