"""What a training of a baseline was or has come to, on disk, and as a `TrainedMethod`."""

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from metarl_gan.checkpoint import (
    has_checkpoint,
    load_checkpoint,
    remove_checkpoint,
    save_checkpoint,
)
from metarl_gan.config_error import ConfigError
from metarl_gan.envs.family import TaskFamily
from metarl_gan.methods.method import LearningPoint, TrainedMethod

TRAINED, UNFINISHED = "trained", "training"


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """What training took; fields as of `TrainedMethod`."""

    real_steps: int = 0
    validation_real_steps: int = 0
    training_seconds: float = 0.0
    learning_curve: tuple[LearningPoint, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a method was asked to train: equal assignments lead to equal weights.

    `settings` are plain values by name.
    """

    method: str
    family: TaskFamily
    settings: Mapping[str, object]
    seed: int
    max_real_steps: int
    folder: Path

    def identity(self) -> dict[str, Any]:
        """All of it but the folder, as JSON values."""
        return {
            "method": self.method,
            "family": self.family.name,
            "settings": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in self.settings.items()
            },
            "seed": self.seed,
            "max_real_steps": self.max_real_steps,
        }


class RecordedMethod(TrainedMethod, ABC):
    """A `TrainedMethod` whose training is on record."""

    def __init__(self, record: TrainingRecord) -> None:
        self._record = record

    @property
    def real_steps(self) -> int:
        return self._record.real_steps

    @property
    def validation_real_steps(self) -> int:
        return self._record.validation_real_steps

    @property
    def training_seconds(self) -> float:
        return self._record.training_seconds

    @property
    def learning_curve(self) -> Sequence[LearningPoint]:
        return self._record.learning_curve


def save_training(
    assignment: Assignment, tensors: Mapping[str, Tensor], record: TrainingRecord
) -> None:
    """Write what was learnt to the assignment's folder, once it is learnt."""
    _save(assignment, TRAINED, tensors, {"record": asdict(record)})
    remove_checkpoint(assignment.folder / UNFINISHED)


def load_training(assignment: Assignment) -> tuple[dict[str, Tensor], TrainingRecord] | None:
    """What was learnt in the folder; `None` if nothing is there.

    Raises `ConfigError` if it is of another assignment, and `CheckpointError` if it is damaged.
    """
    found = _load(assignment, TRAINED)
    if found is None:
        return None
    tensors, state = found
    record = state["record"]
    curve = tuple(LearningPoint(**point) for point in record.pop("learning_curve"))
    return tensors, TrainingRecord(**record, learning_curve=curve)


def save_progress(
    assignment: Assignment, tensors: Mapping[str, Tensor], state: Mapping[str, Any]
) -> None:
    """Write what a training goes on from, should it be interrupted."""
    _save(assignment, UNFINISHED, tensors, {"progress": dict(state)})


def load_progress(assignment: Assignment) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What `save_progress` wrote last; `None` if nothing is there. Raises as `load_training`."""
    found = _load(assignment, UNFINISHED)
    return None if found is None else (found[0], found[1]["progress"])


def _save(
    assignment: Assignment, name: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]
) -> None:
    identity = {"assignment": assignment.identity()}
    save_checkpoint(assignment.folder / name, tensors, {**identity, **state})


def _load(assignment: Assignment, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    folder = assignment.folder / name
    if not has_checkpoint(folder):
        return None
    tensors, state = load_checkpoint(folder)
    own, found = assignment.identity(), state["assignment"]
    other = [name for name, value in own.items() if found.get(name) != value]
    if other:
        raise ConfigError(
            f"{folder} was trained with another {' and '.join(other)}: give another folder, or "
            "remove that one"
        )
    return tensors, state
