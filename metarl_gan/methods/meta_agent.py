"""Our agents as methods of a comparison: settings of `Config`, trained in a run folder."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import metarl_gan
from metarl_gan.agent import MetaAgent
from metarl_gan.components import Components
from metarl_gan.config import Config, ConfigError
from metarl_gan.config_io import Layer, flat, merge_layers, resolve, to_plain
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.task import Task
from metarl_gan.evaluator import AdaptationCurve, Evaluator
from metarl_gan.methods.method import LearningPoint, Method, TrainedMethod
from metarl_gan.presets import preset_overrides, with_preset
from metarl_gan.run_folder import CONFIG, LAST, RunFolder
from metarl_gan.run_log import read_metrics
from metarl_gan.streams import Streams

OF_THE_PLAN = ("family", "seed", "max_real_steps")
"""Settings that the comparison has its own of."""


def make_meta_agent(name: str, overrides: Mapping[str, object], preset: str) -> Method:
    """The method of the registry: `overrides` by dotted name on a preset of the family.

    Raises `ConfigError` for settings that do not exist, or that are the comparison's.
    """
    return MetaAgentMethod(name, overrides, preset)


class MetaAgentMethod(Method):
    """A meta-learner, with or without a generator.

    Args:
        name: in tables.
        overrides: settings by dotted name; they win over the preset's.
        preset: "quick", "default" or "paper"; its budget does not count, the comparison's does.
    """

    def __init__(self, name: str, overrides: Mapping[str, object], preset: str) -> None:
        source = f"method {name}"
        self._overrides = merge_layers(Config, Layer(source=source, values=overrides))
        for setting in OF_THE_PLAN:
            if setting in self._overrides:
                raise ConfigError(f"{source} sets {setting}, which all methods share")
        preset_overrides(preset, "")  # refused before anything starts
        self._name, self._preset = name, preset

    @property
    def name(self) -> str:
        return self._name

    def settings(self, family: TaskFamily) -> Mapping[str, object]:
        values = flat(to_plain(self._config(family)))
        budgets = {"iterations"} - self._overrides.keys()
        return {name: v for name, v in values.items() if name not in {*OF_THE_PLAN, *budgets}}

    def objection(self, family: TaskFamily) -> str | None:
        config = self._config(family)
        if config.uses_generator and config.generator.kind == "simulator":
            return "generator.kind=simulator steps the true environment, beyond any budget"
        try:
            _build(config, family)
        except ValueError as error:
            return str(error)
        return None

    def least_real_steps(self, family: TaskFamily) -> int:
        sampler = self._config(family).sampler
        episodes = sampler.support_episodes + sampler.query_episodes
        return sampler.tasks_per_batch * episodes * family.horizon

    def train(
        self, family: TaskFamily, *, seed: int, max_real_steps: int, folder: Path
    ) -> TrainedMethod:
        # Every meta-iteration takes a real step at least: so many never end a run.
        config = self._config(
            family, seed=seed, max_real_steps=max_real_steps, iterations=max_real_steps
        )
        return TrainedMetaAgent(_trained(family, config, folder), family)

    def _config(self, family: TaskFamily, **plan: object) -> Config:
        layers = with_preset(
            self._preset,
            family.name,
            Layer(source="plan", values={**plan, "family": family.name}),
            Layer(source=f"method {self._name}", values=self._overrides),
        )
        return resolve(Config(), *layers)


class TrainedMetaAgent(TrainedMethod):
    """The agent of a run's best checkpoint.

    Args:
        agent: with the run folder that it was trained in.
        family: that it was trained on.
    """

    def __init__(self, agent: MetaAgent, family: TaskFamily) -> None:
        assert agent.run_folder is not None
        self.agent, self._family, self._folder = agent, family, agent.run_folder
        counters = RunFolder.open(self._folder).counters(LAST)
        self._real_steps = int(counters["real_steps"])
        # The validation at the end of a budget is in the log alone: see `TrainingRun`.
        validated = [row.get("validation_real_steps") or 0 for row in read_metrics(self._folder)]
        self._validation_real_steps = int(max(validated, default=0))
        self._training_seconds = float(counters["training_seconds"])

    @property
    def real_steps(self) -> int:
        return self._real_steps

    @property
    def validation_real_steps(self) -> int:
        return self._validation_real_steps

    @property
    def training_seconds(self) -> float:
        return self._training_seconds

    @property
    def learning_curve(self) -> Sequence[LearningPoint]:
        return learning_curve(self._folder)

    def adaptation_curve(
        self, tasks: Sequence[Task], episodes: int, *, seed: int, scored_episodes: int
    ) -> AdaptationCurve:
        components = self.agent.components
        environments = components.environments(self._family)
        evaluator = Evaluator(
            components,
            environments,
            Streams(seed, components.device),
            scored_episodes=scored_episodes,
        )
        try:
            return evaluator.adaptation_curve(tasks, episodes)
        finally:
            environments.close()


def learning_curve(folder: Path) -> tuple[LearningPoint, ...]:
    """The validations that a run logged, with the real steps and seconds that led to each."""
    points, seconds = [], 0.0
    for before, row in pairwise([{"real_steps": 0}, *read_metrics(folder)]):
        seconds += (row["real_steps"] - before["real_steps"]) / row["real_steps_per_second"]
        if row.get("validation_return") is not None:
            points.append(
                LearningPoint(
                    real_steps=int(row["real_steps"]),
                    seconds=seconds,
                    validation_return=row["validation_return"],
                )
            )
    return tuple(points)


def _trained(family: TaskFamily, config: Config, folder: Path) -> MetaAgent:
    """The agent: trained, or trained to the end, or only loaded, by what the folder holds."""
    if not (folder / CONFIG).is_file():
        return metarl_gan.train(family, config, out=folder)
    if RunFolder.open(folder).has(LAST):
        return metarl_gan.train(family, resume=folder)
    return metarl_gan.train(family, config, out=folder, overwrite=True)


def _build(config: Config, family: TaskFamily) -> Components:
    return Components.build(
        config,
        family.observation_space,
        family.action_space,
        family.horizon,
        descriptor_size=len(family.sample(1, split="train", seed=0)[0].descriptor),
    )
