"""How faithful generated data is on held-out tasks, as a record that saves itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from metarl_gan.fidelity_plots import FidelityFigure
from metarl_gan.report_files import (
    ReportError,
    frozen_array,
    installed_versions,
    read_report,
    write_figure,
    write_json,
)
from metarl_gan.statistics import FloatArray
from metarl_gan.transition_report import TransitionFidelity, finite_mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LATER = ("drop_reasons", "task_specific_cosines", "transitions", "meta_iterations")
"""Fields that reports of earlier versions lack."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FidelityReport:
    """Gradient fidelity and held-out errors of the generator on tasks it was not trained on.

    Args:
        family: name of the task family.
        split: the split the tasks came from.
        seed: seed of the tasks and rollouts.
        episodes: real episodes per task that the generator was conditioned on.
        reference_episodes: real episodes per task that estimate the true inner gradient.
        task_ids: one id per task.
        cosines: by source of data: `[tasks]`, cosine of its inner gradient to the true one.
            "generated" and "mixed" are what inner steps may get; "real" is the same few real
            episodes alone, "real_20" twenty others; "shuffled_context" is generated data under
            the contexts of other tasks, "other_task" the true gradients of other tasks: what
            the former is for a perfect generator.
        held_out_errors: by head ("next_state", "reward", "terminated"): `[tasks]`, error on half
            of those few episodes, given the other half, in normalised units: what a gate sees.
        task_specific_cosines: the same of what is left of the gradients without the mean over
            tasks of the true ones, which is what all tasks have in common.
        transitions: generated transitions beside real ones; None in reports of earlier versions.
        generated_share: `[tasks]`, share of generated rows that the gate chose, in [0, 1].
        evaluation_real_steps: every real environment step that this report spent.
        training_real_steps: every real environment step that training spent.
        meta_iterations: meta-iterations that the weights were trained for.
        dropped_tasks: ids of the tasks whose environment failed; they are in no array.
        drop_reasons: what was seen of each of these, in a line, and then perhaps a traceback.
        versions: versions of what the result depends on.
        command: what to run to get this report again.

    Raises:
        ReportError: when a per-task array does not hold one value per task.
    """

    family: str
    split: str
    seed: int
    episodes: int
    reference_episodes: int
    task_ids: tuple[str, ...]
    cosines: Mapping[str, FloatArray]
    held_out_errors: Mapping[str, FloatArray]
    generated_share: FloatArray
    task_specific_cosines: Mapping[str, FloatArray] = field(default_factory=dict)
    transitions: TransitionFidelity | None = None
    evaluation_real_steps: int = 0
    training_real_steps: int = 0
    meta_iterations: int = 0
    dropped_tasks: tuple[str, ...] = ()
    drop_reasons: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=installed_versions)
    command: str = ""

    def __post_init__(self) -> None:
        for name in ("cosines", "task_specific_cosines"):
            arrays = {source: frozen_array(v) for source, v in getattr(self, name).items()}
            for source, values in arrays.items():
                self._require_one_per_task(f"{name}: {source}", values)
            object.__setattr__(self, name, arrays)
        errors = {
            name: np.atleast_1d(frozen_array(values))
            for name, values in self.held_out_errors.items()
        }
        share = frozen_array(self.generated_share)
        self._require_one_per_task("generated_share", share)
        if self.transitions is not None:
            self._require_one_per_task("transitions: coverages", self.transitions.coverages)
        for name in ("task_ids", "dropped_tasks", "drop_reasons"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "held_out_errors", errors)
        object.__setattr__(self, "generated_share", share)

    def _require_one_per_task(self, name: str, values: FloatArray) -> None:
        expected = (len(self.task_ids),)
        if values.shape != expected:
            raise ReportError(f"{name} has shape {values.shape}; expected [tasks] = {expected}")

    @property
    def gradient_cosine(self) -> dict[str, float]:
        """Mean cosine to the true inner gradient, by source of data.

        Tasks whose gradient vanished (cosine NaN) are left out; NaN when none is left.
        """
        return _means(self.cosines)

    @property
    def task_specific_cosine(self) -> dict[str, float]:
        """The same of `task_specific_cosines`."""
        return _means(self.task_specific_cosines)

    @property
    def mean_generated_share(self) -> float:
        """Mean over tasks of the share of generated rows, in [0, 1]."""
        return finite_mean(self.generated_share)

    def scalars(self) -> dict[str, float]:
        """Every figure as one number by name: means over tasks, NaN where nothing is known."""
        parts: dict[str, Mapping[str, float]] = {
            "gradient_cosine": self.gradient_cosine,
            "task_specific_cosine": self.task_specific_cosine,
            "held_out_error": _means(self.held_out_errors),
            "transitions": {} if self.transitions is None else self.transitions.summary(),
        }
        named = {f"{part}/{name}": v for part, found in parts.items() for name, v in found.items()}
        return named | {"generated_share": self.mean_generated_share}

    def figure(self) -> "Figure":
        """Cosines and held-out errors; errors by step and coverage where they are known."""
        return FidelityFigure(
            title=f"{self.family}, {self.split} split, {len(self.task_ids)} tasks, "
            f"{self.training_real_steps:,} real training steps",
            episodes=self.episodes,
            cosines=self.cosines,
            task_specific=self.task_specific_cosines,
            errors=self.held_out_errors,
            transitions=self.transitions,
        ).draw()

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Write `fidelity-SPLIT` as JSON and PNG into `folder`, which is made if missing.

        Returns:
            The files by kind: "json", "png".

        Raises:
            OSError: when the folder cannot be written to.
        """
        stem = Path(folder) / f"fidelity-{self.split}"
        content = {"kind": "fidelity"} | {
            name: getattr(self, name) for name in self.__dataclass_fields__
        }
        if self.transitions is not None:
            content["transitions"] = self.transitions.to_dict()
        content["computed"] = {
            "gradient_cosine": self.gradient_cosine,
            "task_specific_cosine": self.task_specific_cosine,
            "mean_generated_share": self.mean_generated_share,
        }
        return {
            "json": write_json(stem.with_suffix(".json"), content),
            "png": write_figure(stem.with_suffix(".png"), self.figure()),
        }

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a saved report from its JSON file or a folder with one `fidelity-*.json`.

        Raises:
            ReportError: when the file is missing or holds something else.
        """
        content: Mapping[str, Any] = read_report(Path(path), "fidelity", "fidelity-*.json")
        fields = [
            name for name in cls.__dataclass_fields__ if name in content or name not in _LATER
        ]
        missing = [name for name in fields if name not in content]
        if missing:
            raise ReportError(f"the fidelity report lacks {', '.join(missing)}")
        values = {name: content[name] for name in fields}
        if values.get("transitions") is not None:
            values["transitions"] = TransitionFidelity.from_dict(values["transitions"])
        return cls(**values)


def _means(values: Mapping[str, FloatArray]) -> dict[str, float]:
    return {name: finite_mean(of_tasks) for name, of_tasks in values.items()}
