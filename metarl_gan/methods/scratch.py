"""Learning each task from scratch, with nothing learnt before."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from metarl_gan.config_error import require
from metarl_gan.envs.family import TaskFamily
from metarl_gan.methods.baseline_presets import SCRATCH_PPO, SCRATCH_SAC
from metarl_gan.methods.baseline_settings import BaselineSettings
from metarl_gan.methods.method import Method, TrainedMethod
from metarl_gan.methods.sb3_models import PpoOrSac, PpoSettings


@dataclass(frozen=True, kw_only=True)
class ScratchSettings(PpoOrSac):
    """A fresh model for every task."""

    times_episodes: int = 1
    """Real episodes per episode of adaptation: 1 is what the other methods get, more shows what
    learning from scratch costs. One of PPO's updates takes one."""
    ppo: PpoSettings = field(default_factory=lambda: PpoSettings(anneal=False))

    def __post_init__(self) -> None:
        require(self.times_episodes >= 1, "times_episodes", self.times_episodes, "at least 1")
        require(not self.ppo.anneal, "ppo.anneal", self.ppo.anneal, "False, as there is no end")


def make_scratch(name: str, overrides: Mapping[str, object], preset: str) -> Method:
    """The method of the registry; it has no presets but those of families.

    Raises `ConfigError` for settings that do not exist.
    """
    return Scratch(name, overrides)


class Scratch(Method):
    """PPO or SAC of Stable-Baselines3, whose only data are the task's own episodes.

    The budget of training is not touched.

    Args:
        name: in tables.
        overrides: of `ScratchSettings` by dotted name; they win over a family's.
    """

    def __init__(self, name: str, overrides: Mapping[str, object]) -> None:
        by_family = SCRATCH_SAC if overrides.get("algorithm") == "sac" else SCRATCH_PPO
        self._settings = BaselineSettings(name, ScratchSettings(), by_family, overrides)

    @property
    def name(self) -> str:
        return self._settings.method

    def settings(self, family: TaskFamily) -> Mapping[str, object]:
        return self._settings.plain(family)

    def objection(self, family: TaskFamily) -> str | None:
        settings = self._settings.of(family)
        if problem := settings.objection(family.action_space):
            return problem
        if settings.algorithm == "ppo" and family.horizon < 2:
            return "PPO needs more than a single step to learn from"
        return None

    def train(
        self, family: TaskFamily, *, seed: int, max_real_steps: int, folder: Path
    ) -> TrainedMethod:
        from metarl_gan.methods.fresh_models import FreshModels

        settings = self._settings.of(family)
        return FreshModels(
            family,
            settings.make_model,
            discount=settings.discount,
            times_episodes=settings.times_episodes,
            seed=seed,
        )
