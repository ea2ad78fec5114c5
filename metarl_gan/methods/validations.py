"""What the validations of a training found, and the weights that did best in them."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, final

from torch import Tensor

from metarl_gan.methods.method import LearningPoint
from metarl_gan.methods.training_record import TrainingRecord


@final
class Validations:
    """By increasing real steps, as far as training has come."""

    def __init__(self) -> None:
        self.real_steps = 0
        """Of validation."""
        self.points: list[LearningPoint] = []
        self.best: dict[str, Tensor] = {}

    def add(
        self, point: LearningPoint, real_steps: int, weights: Callable[[], dict[str, Tensor]]
    ) -> None:
        """Note a validation that took `real_steps`, of weights that are kept if they are best."""
        if not self.points or point.validation_return > max(
            earlier.validation_return for earlier in self.points
        ):
            self.best = weights()
        self.points.append(point)
        self.real_steps += real_steps

    @property
    def last_real_steps(self) -> int:
        """Of training, until the last validation; 0 before any."""
        return self.points[-1].real_steps if self.points else 0

    def record(self, real_steps: int, seconds: float) -> TrainingRecord:
        """Of a training that is over, after so many real steps and seconds."""
        return TrainingRecord(
            real_steps=real_steps,
            validation_real_steps=self.real_steps,
            training_seconds=seconds,
            learning_curve=tuple(self.points),
        )

    def state(self) -> dict[str, Any]:
        """All but the weights, as JSON values."""
        return {"real_steps": self.real_steps, "points": [asdict(point) for point in self.points]}

    def restore(self, best: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """What `best` and `state()` were."""
        self.best, self.real_steps = dict(best), state["real_steps"]
        self.points = [LearningPoint(**point) for point in state["points"]]
