"""An oracle: a policy that is told which task it is in, as an upper reference."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metarl_gan.config_error import require
from metarl_gan.envs.family import TaskFamily
from metarl_gan.methods.baseline_presets import ORACLE_PPO, ORACLE_SAC
from metarl_gan.methods.baseline_settings import BaselineSettings
from metarl_gan.methods.method import Method, TrainedMethod
from metarl_gan.methods.sb3_models import PpoOrSac, PpoSettings


@dataclass(frozen=True, kw_only=True)
class OracleSettings(PpoOrSac):
    """A policy conditioned on the true descriptor."""

    tasks_at_once: int = 20
    """Tasks that are played at a time: an episode of each per update of PPO."""

    def __post_init__(self) -> None:
        require(self.tasks_at_once >= 1, "tasks_at_once", self.tasks_at_once, "at least 1")


BY_SAC = OracleSettings()
BY_PPO = OracleSettings(tasks_at_once=5, ppo=PpoSettings(learning_rate=3e-3))
"""It learns once per episode of these: a budget of few real steps is many updates."""


def make_oracle(name: str, overrides: Mapping[str, object], preset: str) -> Method:
    """The method of the registry; it has no presets but those of families.

    Raises `ConfigError` for settings that do not exist.
    """
    return Oracle(name, overrides)


class Oracle(Method):
    """PPO or SAC of Stable-Baselines3 on observations with the task's descriptor appended.

    Adaptation changes nothing: its adaptation curve is flat, and costs no support episodes.

    Args:
        name: In tables.
        overrides: Of `OracleSettings` by dotted name; they win over a family's.
    """

    def __init__(self, name: str, overrides: Mapping[str, object]) -> None:
        by_sac = overrides.get("algorithm") == "sac"
        defaults, by_family = (BY_SAC, ORACLE_SAC) if by_sac else (BY_PPO, ORACLE_PPO)
        self._settings = BaselineSettings(name, defaults, by_family, overrides)

    @property
    def name(self) -> str:
        return self._settings.method

    def settings(self, family: TaskFamily) -> Mapping[str, object]:
        return self._settings.plain(family)

    def objection(self, family: TaskFamily) -> str | None:
        if problem := self._settings.of(family).objection(family.action_space):
            return problem
        if not _descriptor_size(family):
            return "its tasks have no descriptor that the oracle could be told"
        return None

    def least_real_steps(self, family: TaskFamily) -> int:
        settings = self._settings.of(family)
        per_task = family.horizon if settings.algorithm == "ppo" else 1
        return settings.tasks_at_once * per_task

    def train(
        self, family: TaskFamily, *, seed: int, max_real_steps: int, folder: Path
    ) -> TrainedMethod:
        from metarl_gan.agents.told import Descriptor
        from metarl_gan.methods.sb3_method import Recipe, train_recipe

        settings, size = self._settings.of(family), _descriptor_size(family)
        recipe = Recipe(
            make_model=settings.make_model,
            make_told=lambda n_envs: Descriptor(n_envs, size),
            n_envs=settings.tasks_at_once,
            episodes_per_trial=1,
            steps_per_update=self.least_real_steps(family),
            discount=settings.discount,
        )
        assignment = self._settings.assignment(
            family, seed=seed, max_real_steps=max_real_steps, folder=folder
        )
        return train_recipe(assignment, recipe)


def _descriptor_size(family: TaskFamily) -> int:
    return len(family.sample(1, split="train", seed=0)[0].descriptor)
