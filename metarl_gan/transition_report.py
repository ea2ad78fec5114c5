"""The part of a fidelity report that is about transitions, as a record of plain arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from metarl_gan.report_files import ReportError, frozen_array
from metarl_gan.statistics import FloatArray

BY_TASK = ("energy_distances", "energy_p_values", "densities", "coverages")
BY_STEP_AND_TASK = ("state_errors", "reward_errors")


@dataclass(frozen=True, kw_only=True)
class Terminations:
    """Terminations among real transitions, and what the generator says of these.

    Args:
        transitions: how many were looked at.
        real: how many of them terminated.
        predicted: how many the generator gives a probability of 1/2 or more.
        expected: sum of the generator's probabilities: how many it would draw.
        precision: share of the predicted that are real; NaN if none is predicted.
        recall: share of the real that are predicted; NaN if none is real.
    """

    transitions: int
    real: int
    predicted: int
    expected: float
    precision: float
    recall: float


@dataclass(frozen=True, kw_only=True, eq=False)
class TransitionFidelity:
    """Generated transitions beside real ones of episodes that the generator was not given.

    Errors are squared and in normalised units: 1 is what predicting the mean would give.

    Args:
        episodes: real episodes per task that generated transitions were held against.
        change_errors: `[components]`, of the change of state in one step (of the next state, if
            that is what the generator predicts), in variances of that change.
        k_steps: after how many steps the other errors are; the generator goes on from its own
            states under the real actions.
        component_errors: `[k_steps, components]`, of the state, in variances of the state;
            means over tasks.
        state_errors: `[k_steps, tasks]`, the same as means over components.
        reward_errors: `[k_steps, tasks]`, of the reward of the last step.
        terminations: precision and recall.
        energy_distances: `[tasks]`, energy distance between real and generated transitions
            (s, a, s', r) at the same (s, a).
        energy_p_values: `[tasks]`, of the test that they are from one distribution.
        energy_p_value: of the same test on all tasks together.
        densities: `[tasks]`, density of generated outcomes (s', r) among real ones; 1 if right.
        coverages: `[tasks]`, share of real outcomes that generated ones come near.
        expected_coverage: coverage by as many real outcomes.

    Raises:
        ReportError: when the shapes of arrays contradict each other.
    """

    episodes: int
    change_errors: FloatArray
    k_steps: tuple[int, ...]
    component_errors: FloatArray
    state_errors: FloatArray
    reward_errors: FloatArray
    terminations: Terminations
    energy_distances: FloatArray
    energy_p_values: FloatArray
    energy_p_value: float
    densities: FloatArray
    coverages: FloatArray
    expected_coverage: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "k_steps", tuple(int(k) for k in self.k_steps))
        arrays = ("change_errors", "component_errors", *BY_STEP_AND_TASK, *BY_TASK)
        for name in arrays:
            object.__setattr__(self, name, frozen_array(getattr(self, name)))
        for name in ("energy_p_value", "expected_coverage"):
            object.__setattr__(self, name, _number(getattr(self, name)))
        steps, tasks = len(self.k_steps), len(self.coverages)
        expected = {
            "component_errors": (steps, len(self.change_errors)),
            **dict.fromkeys(BY_STEP_AND_TASK, (steps, tasks)),
            **dict.fromkeys(BY_TASK, (tasks,)),
        }
        for name, shape in expected.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ReportError(f"{name} has shape {found}; expected {shape}")

    @property
    def n_tasks(self) -> int:
        """How many tasks the arrays are of."""
        return len(self.coverages)

    def summary(self) -> dict[str, float]:
        """Every figure as one number: means over the tasks (components) where it is known."""
        found = {"change_error": finite_mean(self.change_errors)}
        for index, k in enumerate(self.k_steps):
            found[f"state_error/{k}_steps"] = finite_mean(self.state_errors[index])
            found[f"reward_error/{k}_steps"] = finite_mean(self.reward_errors[index])
        return found | {
            "terminal_precision": self.terminations.precision,
            "terminal_recall": self.terminations.recall,
            "energy_distance": finite_mean(self.energy_distances),
            "energy_p_value": self.energy_p_value,
            "density": finite_mean(self.densities),
            "coverage": finite_mean(self.coverages),
        }

    def to_dict(self) -> dict[str, object]:
        """Its content as plain data, for `from_dict`."""
        return {**vars(self), "terminations": vars(self.terminations)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`, also after JSON made null of what is no number."""
        missing = cls.__dataclass_fields__.keys() - content.keys()
        if missing:
            raise ReportError(f"the fidelity of transitions lacks {', '.join(sorted(missing))}")
        fields: dict[str, Any] = dict(content)
        scores: Mapping[str, Any] = content["terminations"]
        fields["terminations"] = Terminations(
            transitions=scores["transitions"],
            real=scores["real"],
            predicted=scores["predicted"],
            expected=_number(scores["expected"]),
            precision=_number(scores["precision"]),
            recall=_number(scores["recall"]),
        )
        return cls(**fields)


def finite_mean(values: FloatArray) -> float:
    """Mean over the finite entries; NaN when there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
