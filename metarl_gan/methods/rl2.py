"""RL²: a recurrent policy that learns within its trial (Duan et al. 2016, arXiv:1611.02779)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from metarl_gan.config_error import require
from metarl_gan.envs.family import TaskFamily
from metarl_gan.methods.baseline_presets import RL2
from metarl_gan.methods.baseline_settings import BaselineSettings
from metarl_gan.methods.method import Method, TrainedMethod
from metarl_gan.methods.sb3_models import PpoSettings, make_recurrent_ppo


@dataclass(frozen=True, kw_only=True)
class Rl2Settings:
    """RL² by recurrent PPO."""

    episodes_per_trial: int = 2
    """Episodes of a task through which the state is kept in training: those before the last are
    what it adapts on. Evaluation may go on for more."""
    tasks_at_once: int = 5
    """Tasks per update, a trial of each."""
    lstm_size: int = 64
    """Of the actor's and of the critic's LSTM, which come before the hidden layers."""
    ppo: PpoSettings = field(default_factory=lambda: PpoSettings(epochs=10))

    def __post_init__(self) -> None:
        for name in ("episodes_per_trial", "tasks_at_once", "lstm_size"):
            value = getattr(self, name)
            require(value >= 1, name, value, "at least 1")


def make_rl2(name: str, overrides: Mapping[str, object], preset: str) -> Method:
    """The method of the registry; it has no presets but those of families.

    Raises `ConfigError` for settings that do not exist.
    """
    return Rl2(name, overrides)


class Rl2(Method):
    """Recurrent PPO of sb3-contrib, whose state lasts through the episodes of a task.

    It is told its last action, the reward and the end of an episode beside observations.
    Advantages are estimated across the episodes of a trial.

    Args:
        name: In tables.
        overrides: Of `Rl2Settings` by dotted name; they win over a family's.
    """

    def __init__(self, name: str, overrides: Mapping[str, object]) -> None:
        self._settings = BaselineSettings(name, Rl2Settings(), RL2, overrides)

    @property
    def name(self) -> str:
        return self._settings.method

    def settings(self, family: TaskFamily) -> Mapping[str, object]:
        return self._settings.plain(family)

    def objection(self, family: TaskFamily) -> str | None:
        from metarl_gan.agents.sb3_actions import sb3_problem

        return sb3_problem(family.action_space)

    def least_real_steps(self, family: TaskFamily) -> int:
        settings = self._settings.of(family)
        return settings.tasks_at_once * settings.episodes_per_trial * family.horizon

    def train(
        self, family: TaskFamily, *, seed: int, max_real_steps: int, folder: Path
    ) -> TrainedMethod:
        from metarl_gan.agents.told import LastStep
        from metarl_gan.methods.sb3_method import Recipe, train_recipe

        settings = self._settings.of(family)
        recipe = Recipe(
            make_model=partial(make_recurrent_ppo, settings.ppo, settings.lstm_size),
            make_told=lambda n_envs: LastStep(n_envs, family.action_space),
            n_envs=settings.tasks_at_once,
            episodes_per_trial=settings.episodes_per_trial,
            steps_per_update=self.least_real_steps(family),
            discount=settings.ppo.discount,
        )
        assignment = self._settings.assignment(
            family, seed=seed, max_real_steps=max_real_steps, folder=folder
        )
        return train_recipe(assignment, recipe)
