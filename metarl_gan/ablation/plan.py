"""What an ablation compares: arms and seeds on one common config, as jobs."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from metarl_gan.ablation.arms import BUILT_IN, DEFAULT_ARMS, Arm, choose_arms
from metarl_gan.ablation.jobs import AblationJob, EvaluationPlan
from metarl_gan.config import Config, ConfigError
from metarl_gan.config_io import Layer, merge_layers, resolve
from metarl_gan.envs import make_family
from metarl_gan.envs.registry import lasting_reference
from metarl_gan.named_settings import as_word, setting_words
from metarl_gan.presets import with_preset


@dataclass(frozen=True, kw_only=True)
class AblationPlan:
    """Every arm with every seed, on one common config.

    Args:
        family: a registered name, `"module:attribute"` or a YAML file: processes of their own
            have to find it.
        arms: what is compared; see `choose_arms`.
        seeds: of training; every arm gets the same.
        preset: "quick", "default" or "paper".
        settings: overrides by dotted name for all arms; an arm's own win.
        evaluation: how every agent is evaluated.

    Raises:
        ConfigError: for fewer than two seeds, no arms or two of one name, or unknown settings.
    """

    family: str
    arms: tuple[Arm, ...] = choose_arms(DEFAULT_ARMS)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    preset: str = "quick"
    settings: Mapping[str, object] = field(default_factory=dict)
    evaluation: EvaluationPlan = field(default_factory=EvaluationPlan)

    def __post_init__(self) -> None:
        names, seeds = [arm.name for arm in self.arms], list(self.seeds)
        if len(seeds) < 2 or len(set(seeds)) < len(seeds):
            raise ConfigError(
                f"seeds is {seeds}; give two or more, each once: with a single one the difference "
                "between arms cannot be told from that between seeds"
            )
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"arms is {names}; name one or more, each once")
        merged = merge_layers(Config, Layer(source="settings", values=self.settings))
        for name in ("seed", "family"):
            if name in merged:
                raise ConfigError(f"{name} cannot be a setting of all arms; the plan has its own")
        object.__setattr__(self, "settings", merged)

    def jobs(self, out: Path, runs: Path) -> tuple[AblationJob, ...]:
        """Every arm with the first seed, then with the second, and so on.

        Raises:
            ValueError: for a family, split or preset that does not exist, settings that
                contradict each other, or two arms that do not differ.
        """
        family = make_family(self.family)
        self.evaluation.require_of(family)
        settings = Layer(source="settings", values=self.settings)
        jobs = []
        for seed in self.seeds:
            own = {"seed": seed, "family": lasting_reference(self.family)}
            for arm in self.arms:
                changes = Layer(source=f"arm {arm.name}", values=arm.overrides)
                layers = with_preset(
                    self.preset, family.name, settings, changes, Layer(source="plan", values=own)
                )
                jobs.append(
                    AblationJob(
                        arm=arm,
                        config=resolve(Config(), *layers),
                        evaluation=self.evaluation,
                        run=runs / arm.name / f"seed-{seed}",
                        result=out / arm.name / f"seed-{seed}.json",
                        command=self.command(out),
                    )
                )
        _require_different(jobs[: len(self.arms)])
        return tuple(jobs)

    def command(self, out: str | Path) -> str:
        """What to run in a shell to get the same."""
        evaluation = self.evaluation
        built_in = [arm for arm in self.arms if arm == BUILT_IN.get(arm.name)]
        words = ["metarl-gan", "ablate", "--family", self.family, "--preset", self.preset]
        words += ["--arms", *(arm.name for arm in built_in)]
        for arm in self.arms:
            if arm not in built_in:
                words += ["--arm", arm.name, *setting_words(arm.overrides)]
        words += ["--seeds", *map(str, self.seeds), *evaluation.words()]
        words += ["--fidelity-tasks", str(evaluation.fidelity_tasks), "--out", str(out)]
        for name, value in self.settings.items():
            words.append(f"--{name.replace('_', '-')}={as_word(value)}")
        return shlex.join(words)


def _require_different(jobs: Sequence[AblationJob]) -> None:
    for index, job in enumerate(jobs):
        for other in jobs[:index]:
            if job.config == other.config:
                raise ConfigError(
                    f"arms {other.arm.name} and {job.arm.name} are the same under these settings; "
                    "leave out one of them, or the setting that makes them equal"
                )
