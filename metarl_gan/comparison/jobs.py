"""One job of a comparison: a method with a seed, and how it is evaluated."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from metarl_gan.comparison.choices import MethodChoice
from metarl_gan.config_error import require
from metarl_gan.config_io import flat
from metarl_gan.jobs.held_out import HeldOutTasks
from metarl_gan.jobs.job import Job, read_object, require_same, stale
from metarl_gan.report_files import json_safe

RESULT_KIND = "comparison-job"


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan(HeldOutTasks):
    """How every trained method is evaluated: on the same held-out tasks and seeds."""

    episodes: int = 3
    scored_episodes: int = 5
    """Episodes that each return is the mean of."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.episodes >= 0, "episodes", self.episodes, "0 or more")
        require(self.scored_episodes >= 1, "scored_episodes", self.scored_episodes, "at least 1")


@dataclass(frozen=True, kw_only=True)
class ComparisonJob(Job):
    """A method with a seed.

    Args:
        choice: which method.
        preset: that its settings start from.
        family: as its process finds it.
        seed: of training.
        budget_real_steps: of training.
        settings: all settings of the method on the family, as plain JSON.
        evaluation: how what it learnt is evaluated.
        usual: those settings where the choice of the method asks for nothing else; what older
            results are taken to have had, and no part of the job.
    """

    choice: MethodChoice
    preset: str
    family: str
    seed: int
    budget_real_steps: int
    settings: Mapping[str, object]
    evaluation: EvaluationPlan
    usual: Mapping[str, object] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        return f"{self.choice.name}, seed {self.seed}"

    @property
    def threads(self) -> int:
        asked = self.settings.get("torch_threads")
        return asked if isinstance(asked, int) else 1

    def training(self) -> dict[str, object]:
        """What decides about the trained method."""
        return {
            "method": self.choice.method,
            "family": self.family,
            "seed": self.seed,
            "budget_real_steps": self.budget_real_steps,
            "settings": self.settings,
        }

    def content(self) -> dict[str, object]:
        return {
            "choice": asdict(self.choice),
            "preset": self.preset,
            "training": self.training(),
            "evaluation": asdict(self.evaluation),
        }

    @classmethod
    def read(cls, path: Path) -> Self:
        """The inverse of `write`."""
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        training = content["training"]
        return cls(
            choice=MethodChoice(**content["choice"]),
            preset=content["preset"],
            evaluation=EvaluationPlan(**content["evaluation"]),
            run=Path(content["run"]),
            result=Path(content["result"]),
            command=content["command"],
            **{name: value for name, value in training.items() if name != "method"},
        )

    def is_done(self) -> bool:
        if self.result.is_file():
            content = read_object(self.result)
            if content.get("evaluation") != asdict(self.evaluation):
                raise stale(self.result, "was evaluated in another way")
            self._require_same_training(self.result, content)
            return True
        job = self.stem.with_suffix(".json")
        if self.run.exists() and job.is_file():
            self._require_same_training(self.run, read_object(job))
        return False

    def _require_same_training(self, path: Path, content: Mapping[str, Any]) -> None:
        if not isinstance(content.get("training"), dict):
            raise stale(path, "says nothing of its settings")
        usual = flat({"settings": self.usual})
        require_same(path, flat(content["training"]), flat(self.training()), usual)


def as_plain(settings: Mapping[str, object]) -> dict[str, object]:
    """Settings as they are after having been written to JSON and read back."""
    return json.loads(json.dumps(json_safe(settings)))
