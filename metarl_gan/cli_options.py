"""The options of every sub-command, and the settings of the config as flags beside them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, TypeVar, get_origin

import tyro

from metarl_gan.ablation.arms import DEFAULT_ARMS
from metarl_gan.config import Config, ConfigError
from metarl_gan.config_io import nearest_names, setting_types
from metarl_gan.config_values import describe_type

O = TypeVar("O")  # noqa: E741 — options


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Meta-train an agent on a task family, or resume a run."""

    family: str | None = None
    """Task family: a registered name, module:attribute of your own, or a YAML file."""
    preset: str = "quick"
    """Settings to start from: quick, default or paper."""
    seed: int | None = None
    """Seed of everything random."""
    out: Path | None = None
    """Run folder; runs/FAMILY-seedSEED by default."""
    iterations: int | None = None
    """Budget: meta-iterations in all."""
    max_real_steps: int | None = None
    """Budget: real environment steps in all. Whichever budget is spent first ends the run."""
    config: Path | None = None
    """YAML file of settings; wins over the preset, and flags win over it."""
    resume: Path | None = None
    """Run folder to continue, up to --iterations or --max-real-steps if given."""
    overwrite: bool = False
    """Replace a run folder that exists."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Adaptation curve of an agent on held-out tasks, with and without generated data."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    split: str = "test"
    """Which tasks: test, ood or train."""
    tasks: int = 40
    """Number of tasks."""
    episodes: int = 3
    """Real episodes to adapt on: the curve goes from 0 to this."""
    seed: int = 0
    """Seed of tasks and rollouts."""
    device: str | None = None
    """auto, cpu, cuda, …; as it was trained by default."""
    out: Path | None = None
    """Folder for JSON, CSV and PNG; RUN/evaluation by default."""


@dataclass(frozen=True, kw_only=True)
class FidelityOptions:
    """How true generated data is on held-out tasks: inner gradients, errors, coverage."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    split: str = "test"
    """Which tasks: test, ood or train."""
    tasks: int = 20
    """Number of tasks."""
    episodes: int = 1
    """Real episodes per task that the generator is given."""
    seed: int = 0
    """Seed of tasks and rollouts."""
    device: str | None = None
    """auto, cpu, cuda, …; as it was trained by default."""
    out: Path | None = None
    """Folder for JSON and PNG; RUN/evaluation by default."""
    no_tensorboard: bool = False
    """Write nothing into RUN/tensorboard."""


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """GIF of an agent in held-out tasks, before and after it adapts."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    split: str = "test"
    """Which tasks: test, ood or train."""
    tasks: int = 3
    """Number of tasks, one below the other."""
    episodes: int = 1
    """Real episodes per task to adapt on."""
    seed: int = 0
    """Seed of tasks and rollouts."""
    device: str | None = None
    """auto, cpu, cuda, …; as it was trained by default."""
    out: Path | None = None
    """The file; RUN/evaluation/adaptation.gif by default."""


@dataclass(frozen=True, kw_only=True)
class AblateOptions:
    """Train every arm with every seed at equal cost, evaluate all alike, compare."""

    family: str | None = None
    """Task family: a registered name, module:attribute of your own, or a YAML file."""
    preset: str = "quick"
    """Settings to start from: quick, default or paper."""
    arms: tuple[str, ...] = DEFAULT_ARMS
    """Which arms: none, gan, ensemble, diffusion, simulator, shuffled, regression."""
    arm: Annotated[tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction] = ()
    """An arm of your own: NAME setting=value …"""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of training, the same for every arm; two or more."""
    split: str = "test"
    """Which tasks to evaluate on: test, ood or train."""
    tasks: int = 40
    """Number of held-out tasks, the same for every agent."""
    episodes: int = 1
    """Real episodes to adapt on: returns are measured after 0 to this many."""
    evaluation_seed: int = 0
    """Seed of held-out tasks and rollouts, the same for every agent."""
    fidelity_tasks: int = 20
    """Tasks that gradients are compared on; 0 leaves that out."""
    jobs: int = 2
    """Processes at a time."""
    out: Path | None = None
    """Folder of the results; those that are there are not made again."""
    runs: Path | None = None
    """Folder of run folders and logs; OUT/runs by default."""
    config: Path | None = None
    """YAML file of settings for all arms; wins over the preset, and flags win over it."""
    report: Path | None = None
    """Only make tables and plot from the results in this folder."""


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """Train every method with every seed within one budget, evaluate all alike, compare."""

    family: str | None = None
    """Task family: a registered name, module:attribute of your own, or a YAML file."""
    methods: tuple[str, ...] = ()
    """Which methods, separated by commas or spaces; --list-methods tells which there are."""
    method: Annotated[tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction] = ()
    """A method with settings of its own: NAME setting=value …; NEW=NAME gives it another name."""
    seeds: tuple[str, ...] = ("10",)
    """Seeds of training, the same for every method: one number is how many (10 is 0 to 9),
    several are which (0 3 4), and so is one with a comma (3,)."""
    budget_real_steps: int | None = None
    """Real environment steps of training for each method with each seed."""
    preset: str = "default"
    """Settings that our agents start from: quick, default or paper; the budget is the above."""
    split: str = "test"
    """Which tasks to evaluate on: test, ood or train."""
    tasks: int = 40
    """Number of held-out tasks, the same for all."""
    episodes: int = 3
    """Real episodes to adapt on: returns are measured after 0 to this many."""
    scored_episodes: int = 5
    """Episodes that each return is the mean of."""
    evaluation_seed: int = 0
    """Seed of held-out tasks and rollouts, the same for all."""
    baseline: str | None = None
    """Method that the others are held against; the first by default."""
    thresholds: tuple[float, ...] = ()
    """Validation returns that the real steps and seconds to are told; by default 25, 50 and 75 %
    of the way from the family's floor to its reference."""
    jobs: int = 2
    """Processes at a time."""
    out: Path | None = None
    """Folder of the results; those that are there are not made again."""
    runs: Path | None = None
    """Folder of run folders and logs; OUT/runs by default."""
    report: Path | None = None
    """Only make the report on the results in this folder (--baseline and --thresholds may
    differ)."""
    gap_to: Path | None = None
    """With --report: results of the same agents on another split; says what each method loses."""
    list_methods: bool = False
    """List the methods, and which can serve --family."""


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Train with preset quick, evaluate both arms on held-out tasks, say what to run next."""

    family: str | None = None
    """Task family: a registered name, module:attribute of your own, or a YAML file."""
    seed: int = 0
    """Seed of everything random."""
    out: Path = Path("runs/demo")
    """Run folder; one that an earlier demo made is replaced."""
    iterations: int | None = None
    """Budget: meta-iterations in all; the preset's by default."""
    tasks: int = 40
    """Number of held-out tasks."""
    episodes: int = 3
    """Real episodes to adapt on in each."""
    overwrite: bool = False
    """Replace the run folder even if no demo made it."""


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Measure speeds on this machine."""

    name: Annotated[str, tyro.conf.Positional] = "all"
    """Which benchmark: envs, collection, imagination, learners or all."""
    family: str | None = None
    """Task family to measure on, where the benchmark leaves a choice."""
    seconds: float = 20.0
    """For how long to go on with each table; five rounds are made in any case."""
    out: Path | None = None
    """Folder for the JSON files; runs/bench by default."""


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Print tables of what a run folder holds."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Check a task family and list every problem found."""

    family: Annotated[str, tyro.conf.Positional]
    """Task family: a registered name, module:attribute of your own, or a YAML file."""
    seed: int = 0
    """Seed of tasks, environments and actions."""
    seconds: float = 60.0
    """About how long it may take; what would take longer is left out, and said so."""


@dataclass(frozen=True, kw_only=True)
class FamiliesOptions:
    """List the task families: ranges with units, splits, horizon, floors; or describe one."""

    family: Annotated[str | None, tyro.conf.Positional] = None
    """The family to describe: as --family takes it elsewhere."""


def parse(options: type[O], command: str, args: Sequence[str]) -> O:
    """The options of a command without settings.

    Raises:
        ConfigError: for an unknown flag, with the nearest valid ones.
        SystemExit: after `--help` (code 0) or a value that cannot be read (code 2).
    """
    _refuse_unknown_flags(options, command, args)
    return _read(options, command, args)


def parse_with_settings(
    options: type[O], command: str, args: Sequence[str]
) -> tuple[O, dict[str, str]]:
    """The options of a command, and apart from them the settings given as flags.

    Returns:
        The options, and settings by dotted name as written: `--learner.inner-steps 3` gives
        `{"learner.inner_steps": "3"}`, `--no-generated` gives `{"generated": "false"}`.

    Raises:
        ConfigError: for an unknown flag, with the nearest valid ones, or a setting given twice.
        SystemExit: after `--help` (code 0) or a value that cannot be read (code 2).
    """
    own, settings = _split_settings(options, args)
    _refuse_unknown_flags(options, command, own, known_settings=True)
    try:
        return _read(options, command, own), settings
    except SystemExit as stop:
        if not stop.code:
            print(_settings_help(_names(options)))
        raise


def _read(options: type[O], command: str, args: Sequence[str]) -> O:
    return tyro.cli(
        options,
        prog=f"metarl-gan {command}",
        args=list(args),
        config=(tyro.conf.FlagCreatePairsOff,),
    )


def _split_settings(options: type, args: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Arguments that are not settings of the config, and those that are, by dotted name."""
    types = setting_types(Config)
    own_names = _names(options)
    own: list[str] = []
    settings: dict[str, str] = {}
    rest = list(args)
    while rest:
        word = rest.pop(0)
        name, has_value, value = _flag_name(word).partition("=")
        positive = name.removeprefix("no_")
        if not word.startswith("--") or name in own_names:
            own.append(word)
            continue
        if name not in types and types.get(positive) is bool and not has_value:
            name, value = positive, "false"
        elif name not in types:
            own.append(word)
            continue
        elif not has_value:
            value = _take_value(word, types[name], rest)
        if name in settings:
            raise ConfigError(f"{word.partition('=')[0]} is given twice; keep one of them")
        settings[name] = value
    return own, settings


def _take_value(word: str, annotation: object, rest: list[str]) -> str:
    """The words after a flag that are its value; several for a list, none for a switch."""
    taken: list[str] = []
    most = len(rest) if get_origin(annotation) is tuple else 1
    while rest and len(taken) < most and not rest[0].startswith("--"):
        taken.append(rest.pop(0))
    if taken:
        return " ".join(taken)
    if annotation is bool:
        return "true"
    raise ConfigError(f"{word} needs a value: {describe_type(annotation)}")


def _names(options: type) -> list[str]:
    return [option.name for option in fields(options)]


def _flag_name(word: str) -> str:
    flag, equals, value = word.partition("=")
    return flag.removeprefix("--").replace("-", "_") + equals + value


def _refuse_unknown_flags(
    options: type, command: str, args: Sequence[str], *, known_settings: bool = False
) -> None:
    # tyro would refuse them as well, but it cannot know of the settings.
    own_names = _names(options)
    known = own_names + (list(setting_types(Config)) if known_settings else [])
    for word in args:
        name = _flag_name(word).partition("=")[0]
        if word.startswith("--") and name not in {*own_names, "help"}:
            near = [_as_flag(candidate) for candidate in nearest_names(name, known)]
            hint = f"; nearest: {', '.join(near)}" if near else ""
            raise ConfigError(
                f"unknown option {word.partition('=')[0]}{hint} (metarl-gan {command} --help "
                "lists all)"
            )


def _as_flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _settings_help(listed: list[str]) -> str:
    """Every setting not listed yet as a flag, with its default and what it takes."""
    config = Config()
    lines = ["Every setting of the config is a flag too (defaults before any preset):"]
    for name, annotation in setting_types(Config).items():
        if name in listed:
            continue
        value: object = config
        for part in name.split("."):
            value = getattr(value, part)
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        lines.append(f"  {_as_flag(name):<40}{shown:<16}{describe_type(annotation)}")
    return "\n".join(lines)
