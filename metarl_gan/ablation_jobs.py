"""One job of an ablation: an arm with a seed, its whole config, and where its numbers go."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from metarl_gan.arms import Arm
from metarl_gan.config import Config, ConfigError
from metarl_gan.config_error import require
from metarl_gan.config_io import flat, from_plain, to_plain
from metarl_gan.report_files import write_json

RESULT_KIND = "ablation-job"
RUN_CONFIG = "config.json"
"""As `RunFolder` writes it; repeated here because that module needs torch."""


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """How every agent of an ablation is evaluated: on the same held-out tasks and seeds."""

    split: str = "test"
    tasks: int = 40
    episodes: int = 1
    """Real episodes per task: returns are measured after 0 to this many."""
    seed: int = 0
    """Of tasks and rollouts; the same for every agent."""
    fidelity_tasks: int = 20
    """Tasks that gradients are compared on; 0 leaves that out."""

    def __post_init__(self) -> None:
        require(self.tasks >= 1, "tasks", self.tasks, "at least 1")
        require(self.episodes >= 1, "episodes", self.episodes, "at least 1")
        require(self.fidelity_tasks >= 0, "fidelity_tasks", self.fidelity_tasks, "0 or more")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One arm with one seed: what is trained and evaluated, and where to.

    Args:
        arm: what differs from the other arms.
        config: the whole config, the arm's overrides and the seed included.
        evaluation: how the agent is evaluated.
        run: the run folder.
        result: the file of the numbers.
        command: the command of the whole ablation.
    """

    arm: Arm
    config: Config
    evaluation: EvaluationPlan
    run: Path
    result: Path
    command: str

    @property
    def name(self) -> str:
        """For people: `gan, seed 3`."""
        return f"{self.arm.name}, seed {self.config.seed}"

    @property
    def stem(self) -> Path:
        """The path, but for its suffix, of the job's files beside its run folder."""
        return self.run.with_name(f"job-{self.run.name}")

    def write(self) -> Path:
        """Save the job for the process that does it."""
        content = {
            "arm": asdict(self.arm),
            "config": to_plain(self.config),
            "evaluation": asdict(self.evaluation),
            "run": str(self.run),
            "result": str(self.result),
            "command": self.command,
        }
        return write_json(self.stem.with_suffix(".json"), content)

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
        """Whether there is a result, of this very job.

        Raises:
            ConfigError: when the result or the run that is there is of other settings.
        """
        if self.result.is_file():
            content = _read(self.result)
            if content.get("evaluation") != asdict(self.evaluation):
                raise ConfigError(_stale(self.result, "was evaluated in another way"))
            self._require_same_config(self.result, content.get("config"))
            return True
        if (self.run / RUN_CONFIG).is_file():
            self._require_same_config(self.run, _read(self.run / RUN_CONFIG))
        return False

    def _require_same_config(self, path: Path, theirs: object) -> None:
        if not isinstance(theirs, dict):
            raise ConfigError(_stale(path, "says nothing of its settings"))
        there = flat(theirs)
        different = [
            f"{name} {there.get(name)!r}, now {value!r}"
            for name, value in flat(to_plain(self.config)).items()
            if there.get(name) != value
        ]
        if different:
            raise ConfigError(_stale(path, f"was made with {'; '.join(different[:3])}"))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a JSON file ({error}); remove it") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no result; remove it")
    return content


def _stale(path: Path, why: str) -> str:
    return f"{path} {why}: remove it, or give another folder"
