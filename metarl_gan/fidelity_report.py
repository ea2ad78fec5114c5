"""How faithful generated data is on held-out tasks, as a record that saves itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from metarl_gan.plots import fidelity_figure
from metarl_gan.report_files import (
    ReportError,
    frozen_array,
    installed_versions,
    read_report,
    write_figure,
    write_json,
)
from metarl_gan.statistics import FloatArray

_LATER = ("drop_reasons",)
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
        cosines: by source of data ("generated", "mixed", "real", "shuffled_context"): `[tasks]`,
            cosine of its inner gradient to the true one. "real" is the same few real episodes
            alone; "shuffled_context" is generated data under another task's context.
        held_out_errors: by head ("next_state", "reward", "terminated"): `[components]`, error on
            real transitions of held-out tasks, in normalised units.
        generated_share: `[tasks]`, share of generated rows that the gate chose, in [0, 1].
        evaluation_real_steps: every real environment step that this report spent.
        training_real_steps: every real environment step that training spent.
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
    evaluation_real_steps: int = 0
    training_real_steps: int = 0
    dropped_tasks: tuple[str, ...] = ()
    drop_reasons: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=installed_versions)
    command: str = ""

    def __post_init__(self) -> None:
        cosines = {name: frozen_array(values) for name, values in self.cosines.items()}
        errors = {
            name: np.atleast_1d(frozen_array(values))
            for name, values in self.held_out_errors.items()
        }
        share = frozen_array(self.generated_share)
        for name, values in [*cosines.items(), ("generated_share", share)]:
            if values.shape != (len(self.task_ids),):
                raise ReportError(
                    f"{name} has shape {values.shape}; expected [tasks] = ({len(self.task_ids)},)"
                )
        object.__setattr__(self, "task_ids", tuple(self.task_ids))
        object.__setattr__(self, "dropped_tasks", tuple(self.dropped_tasks))
        object.__setattr__(self, "drop_reasons", tuple(self.drop_reasons))
        object.__setattr__(self, "cosines", cosines)
        object.__setattr__(self, "held_out_errors", errors)
        object.__setattr__(self, "generated_share", share)

    @property
    def gradient_cosine(self) -> dict[str, float]:
        """Mean cosine to the true inner gradient, by source of data.

        Tasks whose gradient vanished (cosine NaN) are left out; NaN when none is left.
        """
        return {name: _finite_mean(values) for name, values in self.cosines.items()}

    @property
    def mean_generated_share(self) -> float:
        """Mean over tasks of the share of generated rows, in [0, 1]."""
        return _finite_mean(self.generated_share)

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
        content["computed"] = {
            "gradient_cosine": self.gradient_cosine,
            "mean_generated_share": self.mean_generated_share,
        }
        title = f"{self.family}, {self.split} split, {len(self.task_ids)} tasks"
        figure = fidelity_figure(self.cosines, self.held_out_errors, title=title)
        return {
            "json": write_json(stem.with_suffix(".json"), content),
            "png": write_figure(stem.with_suffix(".png"), figure),
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
        return cls(**{name: content[name] for name in fields})


def _finite_mean(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")
