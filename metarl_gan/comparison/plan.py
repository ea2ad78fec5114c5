"""What a comparison is of: methods and seeds on one family within one budget, as jobs."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from metarl_gan.comparison.choices import MethodChoice
from metarl_gan.comparison.jobs import ComparisonJob, EvaluationPlan, as_plain
from metarl_gan.config_error import ConfigError, require
from metarl_gan.envs import TaskFamily, make_family
from metarl_gan.envs.registry import lasting_reference
from metarl_gan.methods.method import Method
from metarl_gan.methods.registry import METHODS, make_method
from metarl_gan.named_settings import setting_words


@dataclass(frozen=True, kw_only=True)
class ComparisonPlan:
    """Every method with every seed, within the same budget of real steps.

    Args:
        family: a registered name, `"module:attribute"` or a YAML file: processes of their own
            have to find it.
        methods: what is compared; see `choose_methods`.
        budget_real_steps: of training, for each method with each seed.
        seeds: of training; every method gets the same.
        preset: that methods with presets start from: "quick", "default" or "paper".
        evaluation: how every trained method is evaluated.
        baseline: name of the method that others are held against; the first if not given.
        thresholds: returns that the time to is measured; if none is given, those that are 25, 50
            and 75 % of the way from the family's floor to its reference.

    Raises:
        ConfigError: for no methods or seeds, some that are given twice, or a baseline that is
            not among the methods.
    """

    family: str
    methods: tuple[MethodChoice, ...]
    budget_real_steps: int
    seeds: tuple[int, ...] = tuple(range(10))
    preset: str = "default"
    evaluation: EvaluationPlan = field(default_factory=EvaluationPlan)
    baseline: str | None = None
    thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        names, seeds = [choice.name for choice in self.methods], list(self.seeds)
        if not seeds or len(set(seeds)) < len(seeds):
            raise ConfigError(f"seeds is {seeds}; give one or more, each once")
        if not names or len(set(names)) < len(names):
            raise ConfigError(
                f"methods is {names}; name one or more of {', '.join(METHODS)}, each once "
                "(--method NEW=NAME setting=value gives one another name)"
            )
        budget = self.budget_real_steps
        require(budget >= 1, "budget_real_steps", budget, "at least 1")
        require(self.baseline in {None, *names}, "baseline", self.baseline, f"one of {names}")

    def jobs(self, out: Path, runs: Path) -> tuple[ComparisonJob, ...]:
        """Every method with the first seed, then with the second, and so on.

        Raises:
            ValueError: for a family, split, method or setting that does not exist, a method that
                cannot serve the family, or a budget that is too small for one.
        """
        family = make_family(self.family)
        self.evaluation.require_of(family)
        methods = [choice.make(self.preset) for choice in self.methods]
        self._require_able(methods, family)
        settings = {method.name: as_plain(method.settings(family)) for method in methods}
        usual = {
            choice.name: as_plain(choice.as_named().make(self.preset).settings(family))
            for choice in self.methods
        }
        return tuple(
            ComparisonJob(
                choice=choice,
                preset=self.preset,
                family=lasting_reference(self.family),
                seed=seed,
                budget_real_steps=self.budget_real_steps,
                settings=settings[choice.name],
                usual=usual[choice.name],
                evaluation=self.evaluation,
                run=runs / choice.name / f"seed-{seed}",
                result=out / choice.name / f"seed-{seed}.json",
                command=self.command(out),
            )
            for seed in self.seeds
            for choice in self.methods
        )

    def _require_able(self, methods: Sequence[Method], family: TaskFamily) -> None:
        objections = {method.name: method.objection(family) for method in methods}
        lines = [
            f"{name} cannot serve {family.name}: {why}" for name, why in objections.items() if why
        ]
        if lines:
            able = ", ".join(able_methods(family, self.preset))
            raise ConfigError("\n".join([*lines, f"those that can: {able or 'none'}"]))
        for method in methods:
            least = method.least_real_steps(family)
            if least > self.budget_real_steps:
                raise ConfigError(
                    f"budget_real_steps is {self.budget_real_steps:,}; {method.name} takes "
                    f"{least:,} at least on {family.name}: raise the budget, or change its settings"
                )

    def command(self, out: str | Path) -> str:
        """What to run in a shell to get the same."""
        evaluation = self.evaluation
        words = ["metarl-gan", "compare", "--family", self.family]
        words += ["--methods", ",".join(choice.name for choice in self.methods if not _own(choice))]
        if not words[-1]:
            del words[-2:]
        for choice in filter(_own, self.methods):
            renamed = "" if choice.name == choice.method else f"{choice.name}="
            words += ["--method", renamed + choice.method, *setting_words(choice.overrides)]
        words += ["--seeds", as_seeds(self.seeds)]
        words += ["--budget-real-steps", str(self.budget_real_steps), "--preset", self.preset]
        words += [*evaluation.words(), "--scored-episodes", str(evaluation.scored_episodes)]
        words += ["--baseline", self.baseline] if self.baseline else []
        words += ["--thresholds", *map(str, self.thresholds)] if self.thresholds else []
        return shlex.join([*words, "--out", str(out)])


def able_methods(family: TaskFamily, preset: str) -> list[str]:
    """Names of all methods that have no objection to a family."""
    return [name for name in METHODS if make_method(name, preset=preset).objection(family) is None]


def read_seeds(words: Sequence[str]) -> tuple[int, ...]:
    """One number N as 0, 1, … N - 1; several, or one with a comma, as they are.

    Raises:
        ConfigError: for words that are no numbers.
    """
    parts = [part for word in words for part in word.split(",") if part]
    if not parts or not all(part.isdecimal() for part in parts):
        raise ConfigError(
            f"seeds is {' '.join(words)!r}; give how many (10 is 0 to 9), or which: 0 3 4 or 3,"
        )
    numbers = tuple(map(int, parts))
    alone = len(parts) == 1 and "," not in words[0]
    return tuple(range(numbers[0])) if alone else numbers


def as_seeds(seeds: Sequence[int]) -> str:
    """The inverse, as one word."""
    if list(seeds) == list(range(len(seeds))):
        return str(len(seeds))
    return ",".join(map(str, seeds)) + "," * (len(seeds) == 1)


def _own(choice: MethodChoice) -> bool:
    return bool(choice.overrides) or choice.name != choice.method
