"""One job of an ablation: an arm with a seed, its whole config, and where its numbers go."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from metarl_gan.ablation.arms import Arm
from metarl_gan.config import Config
from metarl_gan.config_error import require
from metarl_gan.config_io import flat, from_plain, to_plain
from metarl_gan.jobs.held_out import HeldOutTasks
from metarl_gan.jobs.job import Job, read_object, require_same, stale

RESULT_KIND = "ablation-job"
RUN_CONFIG = "config.json"
"""As `RunFolder` writes it; repeated here because that module needs torch."""


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan(HeldOutTasks):
    """How every agent of an ablation is evaluated: on the same held-out tasks and seeds."""

    fidelity_tasks: int = 20
    """Tasks that gradients are compared on; 0 leaves that out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.episodes >= 1, "episodes", self.episodes, "at least 1")
        require(self.fidelity_tasks >= 0, "fidelity_tasks", self.fidelity_tasks, "0 or more")


@dataclass(frozen=True, kw_only=True)
class AblationJob(Job):
    """One arm with one seed: what is trained and evaluated.

    Args:
        arm: what differs from the other arms.
        config: the whole config, the arm's overrides and the seed included.
        evaluation: how the agent is evaluated.
    """

    arm: Arm
    config: Config
    evaluation: EvaluationPlan

    @property
    def name(self) -> str:
        return f"{self.arm.name}, seed {self.config.seed}"

    @property
    def threads(self) -> int:
        return self.config.torch_threads

    def content(self) -> dict[str, object]:
        return {
            "arm": asdict(self.arm),
            "config": to_plain(self.config),
            "evaluation": asdict(self.evaluation),
        }

    @classmethod
    def read(cls, path: Path) -> Self:
        """The inverse of `write`."""
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            arm=Arm(**content["arm"]),
            config=from_plain(Config, content["config"], str(path)),
            evaluation=EvaluationPlan(**content["evaluation"]),
            run=Path(content["run"]),
            result=Path(content["result"]),
            command=content["command"],
        )

    def is_done(self) -> bool:
        if self.result.is_file():
            content = read_object(self.result)
            if content.get("evaluation") != asdict(self.evaluation):
                raise stale(self.result, "was evaluated in another way")
            self._require_same_config(self.result, content.get("config"))
            return True
        if (self.run / RUN_CONFIG).is_file():
            self._require_same_config(self.run, read_object(self.run / RUN_CONFIG))
        return False

    def _require_same_config(self, path: Path, theirs: object) -> None:
        if not isinstance(theirs, dict):
            raise stale(path, "says nothing of its settings")
        usual = flat(to_plain(Config()))
        require_same(path, flat(theirs), flat(to_plain(self.config)), usual)
