"""The top-level interface: train, load, evaluate, fidelity."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metarl_gan.adaptation_report import AdaptationReport
from metarl_gan.agent import MetaAgent
from metarl_gan.components import Components
from metarl_gan.config import Config, ConfigError
from metarl_gan.config_io import Layer, resolve, to_plain
from metarl_gan.envs import TaskFamily, make_family
from metarl_gan.envs.registry import lasting_reference
from metarl_gan.envs.task import Task
from metarl_gan.evaluator import Evaluator
from metarl_gan.fidelity_report import FidelityReport
from metarl_gan.gradient_fidelity import FidelityMeter
from metarl_gan.presets import with_preset
from metarl_gan.processor import use_processor
from metarl_gan.run_folder import BEST, LAST, RunFolder, build_components
from metarl_gan.streams import Streams
from metarl_gan.training_run import TrainingRun

if TYPE_CHECKING:
    from stable_baselines3.common.callbacks import BaseCallback

    from metarl_gan.callbacks import Callback
    from metarl_gan.video import Video

GENERATED, REAL_ONLY = "generated", "real only"


def train(  # noqa: PLR0913 - the names of the public interface; the settings are in config
    family: str | TaskFamily | None = None,
    config: Config | Mapping[str, object] | None = None,
    preset: str = "quick",
    out: str | Path | None = None,
    seed: int | None = None,
    *,
    resume: str | Path | None = None,
    overwrite: bool = False,
    iterations: int | None = None,
    max_real_steps: int | None = None,
    generated: bool | None = None,
    start: str | Path | None = None,
    callback: "Callback | Sequence[BaseCallback] | None" = None,
    progress: bool = True,
) -> MetaAgent:
    """Meta-train an agent on a task family and return it, from its best checkpoint.

    Args:
        family: a registered name, `"module:attribute"`, the path of a YAML file, a `TaskFamily`,
            or what else `make_family` takes; with `resume`, only needed if the run was on what no
            name leads to.
        config: a `Config`, which is taken as it is, or overrides by dotted name on the preset.
        preset: "quick", "default" or "paper".
        out: run folder; `runs/<family>-seed<seed>` if not given.
        seed: of everything; 0 if not given.
        resume: folder of a run to go on with, as if it had never stopped; `iterations` and
            `max_real_steps` are then the new totals.
        overwrite: remove a run that is in `out` already.
        iterations: meta-iterations in all.
        max_real_steps: real environment steps in all; the first budget spent ends the run.
        generated: False trains the same agent without the generator.
        start: a `.zip` of Stable-Baselines3 whose policy to start from, with the settings that it
            needs (`policy.start_from`, sizes, activation); no code in it is run.
        callback: of Stable-Baselines3, a list of such, or a function of local and global
            variables that says whether to go on; a meta-iteration is one step to them.
        progress: show progress on the terminal.

    Raises:
        ValueError: an unknown family, preset or setting, spaces that no policy serves, a run
            folder that exists or cannot be written, or a checkpoint that cannot be read.
        TrainingError: every task of a batch broke.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after a checkpoint was written.
    """
    budgets = _given(iterations=iterations, max_real_steps=max_real_steps)
    if resume is not None:
        if any(value is not None for value in (config, seed, generated, out, start)):
            raise ConfigError(
                "resume goes on with the run's own config; with it only iterations and "
                "max_real_steps can be given"
            )
        run = _resumed(RunFolder.open(resume), family, budgets, progress=progress)
        return _run(run, callback)
    own = _given(seed=seed, generated=generated) | budgets
    made, resolved = _resolve(family, config, preset, own, start)
    use_processor(resolved.torch_threads)
    components = Components.build(
        resolved,
        made.observation_space,
        made.action_space,
        made.horizon,
        descriptor_size=len(made.sample(1, split="train", seed=0)[0].descriptor),
    )
    if resolved.policy.start_from is not None:
        # Stable-Baselines3 takes a second to import, and only this needs it.
        from metarl_gan.starting_point import start_from

        start_from(components, resolved.policy.start_from)
    folder = RunFolder.create(out or _default_folder(resolved), overwrite=overwrite)
    folder.write_config(resolved)
    return _run(TrainingRun(components, made, folder, progress=progress), callback)


def load(run: str | Path, *, device: str | None = None) -> MetaAgent:
    """The agent of a run, from its best checkpoint; the family's code is not needed.

    It is on `device`: "auto", "cpu" or a name of torch's; by default on the one that its config
    asks for, where it was trained. Its `real_steps` are all that the run has spent so far, its
    `meta_iterations` those after which the best checkpoint was taken.

    Raises `ValueError` for a folder that is no run, a checkpoint that is missing, truncated,
    foreign or of a newer format, or a device that is not there.
    """
    folder = RunFolder.open(run)
    name = BEST if folder.has(BEST) else LAST
    about, tensors, _ = folder.load(name)
    with folder.using(name):
        components = build_components(about, device)
        components.restore(tensors)
    # What the run has spent is spent, also after its best iteration.
    latest = LAST if folder.has(LAST) else name
    return MetaAgent(
        components,
        run_folder=folder.path,
        real_steps=folder.counters(latest)["real_steps"],
        meta_iterations=folder.counters(name)["meta_iterations"],
    )


def evaluate(
    agent: MetaAgent,
    family: str | TaskFamily | None = None,
    *,
    split: str = "test",
    tasks: int = 40,
    episodes: int = 3,
    seed: int = 0,
    generated: bool = True,
    deterministic: bool = True,
) -> AdaptationReport:
    """Return on held-out tasks after 0..`episodes` real episodes.

    Support episodes are sampled from the initial policy; each return is the mean over 5 scored
    episodes, of the most probable actions if `deterministic`. The same arguments with
    `generated=False` give the paired arm: same tasks, same support, same starts.

    Raises `ValueError` for a family with other spaces, a split it does not have, or numbers
    that make no sense.
    """
    made, drawn = _tasks(agent, family, split, tasks, seed)
    if episodes < 0:
        raise ConfigError(f"episodes is {episodes}; give the real episodes per task, 0 or more")
    environments = agent.components.environments(made)
    evaluator = Evaluator(
        agent.components,
        environments,
        Streams(seed, agent.components.device),
        generated=generated,
        deterministic=deterministic,
    )
    try:
        curve = evaluator.adaptation_curve(drawn, episodes)
    finally:
        environments.close()
    return curve.report(
        made,
        arm=GENERATED if generated and agent.config.uses_generator else REAL_ONLY,
        split=split,
        seed=seed,
        training_real_steps=agent.real_steps,
        command=f"metarl-gan evaluate {agent.run_folder} --split {split} --tasks {tasks} "
        f"--episodes {episodes} --seed {seed}",
    )


def record(
    agent: MetaAgent,
    family: str | TaskFamily | None = None,
    *,
    split: str = "test",
    tasks: int = 3,
    episodes: int = 1,
    seed: int = 0,
) -> "Video":
    """The agent in held-out tasks, before and after `episodes` real episodes: `.save(path)`.

    Needs no display. Raises `ValueError` for a family with other spaces or that cannot be seen, a
    split it does not have, or numbers that make no sense.
    """
    from metarl_gan.video import filmed  # drawing is for those who watch

    made, drawn = _tasks(agent, family, split, tasks, seed)
    if episodes < 1:
        raise ConfigError(f"episodes is {episodes}; give the real episodes per task, 1 or more")
    return filmed(
        agent,
        made,
        drawn,
        episodes=episodes,
        seed=seed,
        command=f"metarl-gan video {agent.run_folder} --split {split} --tasks {tasks} "
        f"--episodes {episodes} --seed {seed}",
    )


def fidelity(
    agent: MetaAgent,
    family: str | TaskFamily | None = None,
    *,
    split: str = "test",
    tasks: int = 20,
    episodes: int = 1,
    seed: int = 0,
) -> FidelityReport:
    """How faithful generated data is on held-out tasks, from `episodes` real episodes of each.

    Raises `ValueError` as `evaluate` does, and for an agent without a generator.
    """
    made, drawn = _tasks(agent, family, split, tasks, seed)
    if episodes < 1:
        raise ConfigError(f"episodes is {episodes}; give the real episodes per task, 1 or more")
    meter = FidelityMeter(agent.components, made, Streams(seed, agent.components.device))
    measured = meter.measure(drawn, episodes)
    return FidelityReport(
        family=made.name,
        split=split,
        seed=seed,
        episodes=episodes,
        reference_episodes=meter.reference_episodes,
        task_ids=tuple(task.id for task in measured.tasks),
        cosines=measured.cosines,
        task_specific_cosines=measured.task_specific,
        transitions=measured.transitions,
        held_out_errors={
            name: np.asarray(value.cpu()) for name, value in measured.errors.by_head().items()
        },
        generated_share=measured.share.cpu().numpy(),
        evaluation_real_steps=measured.real_steps,
        training_real_steps=agent.real_steps,
        meta_iterations=agent.meta_iterations,
        dropped_tasks=tuple(dropped.task_id for dropped in measured.dropped),
        drop_reasons=tuple(dropped.reason for dropped in measured.dropped),
        command=f"metarl-gan fidelity {agent.run_folder} --split {split} --tasks {tasks} "
        f"--episodes {episodes} --seed {seed}",
    )


def _run(
    run: TrainingRun, callback: "Callback | Sequence[BaseCallback] | None" = None
) -> MetaAgent:
    if callback is not None:
        from metarl_gan.callbacks import Sb3Events

        run.follow(
            Sb3Events(callback, run.components, total_real_steps=run.trainer.most_real_steps)
        )
    run.train()
    return load(run.folder.path)


def _resumed(
    folder: RunFolder,
    family: str | TaskFamily | None,
    budgets: Mapping[str, object],
    *,
    progress: bool,
) -> TrainingRun:
    about, tensors, state = folder.load(LAST)
    with folder.using(LAST):
        config = resolve(Config(), Layer(source="the run", values=about["config"]))
    config = resolve(config, Layer(source="resume", values=budgets))
    use_processor(config.torch_threads)
    made = make_family(family if family is not None else config.family)
    with folder.using(LAST):
        components = build_components({**about, "config": to_plain(config)})
    components.require_spaces_of(made, f"family {made.name!r}")
    run = TrainingRun(components, made, folder, progress=progress)
    with folder.using(LAST):
        run.restore(tensors, state)
    folder.write_config(config)
    return run


def _resolve(
    family: str | TaskFamily | None,
    config: Config | Mapping[str, object] | None,
    preset: str,
    own: Mapping[str, object],
    start: str | Path | None,
) -> tuple[TaskFamily, Config]:
    """The family and the whole config: preset, then config, then what was given by itself."""
    layers: list[Layer] = []
    if start is not None:
        from metarl_gan.starting_point import settings_of

        layers.append(Layer(source="start", values=settings_of(start)))
    if isinstance(config, Config):
        base = config
    else:
        base = Config()
        overrides = dict(config or {})
        if family is None and "family" in overrides:
            family = str(overrides["family"])
        layers.append(Layer(source="config", values=overrides))
    asked = family if family is not None else base.family
    made = make_family(asked)
    layers.append(Layer(source="arguments", values=own))
    if not isinstance(config, Config):
        # A family given by reference is known by that; one given as an object by its name.
        layers = [*with_preset(preset, made.name, *layers)]
    resolved = resolve(base, *layers)
    known_as = lasting_reference(asked) if isinstance(asked, str) else made.name
    return made, replace(resolved, family=known_as)


def _default_folder(config: Config) -> str:
    path = Path(config.family)
    name = path.stem if path.is_absolute() else config.family  # a family may be a file
    return f"runs/{name}-seed{config.seed}"


def _tasks(
    agent: MetaAgent, family: str | TaskFamily | None, split: str, n_tasks: int, seed: int
) -> tuple[TaskFamily, list[Task]]:
    made = make_family(family if family is not None else agent.config.family)
    agent.components.require_spaces_of(made, f"family {made.name!r}")
    if n_tasks < 1:
        raise ConfigError(f"tasks is {n_tasks}; give the number of held-out tasks, 1 or more")
    return made, made.sample(n_tasks, split=split, seed=seed)


def _given(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}
