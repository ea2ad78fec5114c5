"""The methods by name. Nothing heavy is imported before a method is made.

To add one: write a function `make(name, overrides, preset) -> Method` (`MethodFactory`) and give
it a line in `METHODS`. Of our own agents, a line of settings is enough: `_agents`.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from metarl_gan.config_error import ConfigError

if TYPE_CHECKING:
    from metarl_gan.methods.method import Method

MethodFactory = Callable[[str, Mapping[str, object], str], "Method"]
"""Takes the name, settings by dotted name (strings are read as on the command line) that win over
everything else, and the preset; a method without presets leaves that alone."""

NO_GENERATOR = "-no-generator"


@dataclass(frozen=True, kw_only=True)
class MethodEntry:
    """One method.

    Args:
        summary: one line for lists.
        home: its factory, as `"module:function"`.
        overrides: settings that make it what its name says.
    """

    summary: str
    home: str
    overrides: Mapping[str, object] = field(default_factory=dict)

    def make(self, name: str, overrides: Mapping[str, object], preset: str) -> "Method":
        """Import the factory and call it.

        Raises `ConfigError` for settings that do not exist, or that the name stands for.
        """
        for setting in overrides:
            if setting in self.overrides:
                raise ConfigError(
                    f"method {name}: {setting} is {self.overrides[setting]!r} by its name; leave "
                    "it out, or give another method its settings"
                )
        module, _, function = self.home.partition(":")
        factory: MethodFactory = getattr(import_module(module), function)
        return factory(name, {**self.overrides, **overrides}, preset)


def _agents(name: str, summary: str, overrides: Mapping[str, object]) -> dict[str, MethodEntry]:
    """One of our agents, and the same without generated data."""
    home = "metarl_gan.methods.meta_agent:make_meta_agent"
    without = {**overrides, "generated": False}
    return {
        name: MethodEntry(summary=summary, home=home, overrides=overrides),
        name + NO_GENERATOR: MethodEntry(
            summary=f"{summary}; without generated data", home=home, overrides=without
        ),
    }


def _algorithms(name: str, summary: str, home: str) -> dict[str, MethodEntry]:
    """A baseline by PPO and by SAC of Stable-Baselines3."""
    return {
        f"{name}-{algorithm}": MethodEntry(
            summary=f"{algorithm.upper()}, {summary}",
            home=f"metarl_gan.methods.{home}",
            overrides={"algorithm": algorithm},
        )
        for algorithm in ("ppo", "sac")
    }


def _over_sb3(algorithm: str) -> dict[str, object]:
    return {"learner.algorithm": "sb3_reptile", "learner.sb3_algorithm": algorithm}


METHODS: Mapping[str, MethodEntry] = {
    **_agents("maml", "MAML on policy gradients", {"learner.algorithm": "maml"}),
    **_agents(
        "maml-trpo",
        "MAML with a trust region in the outer loop",
        {"learner.algorithm": "maml", "learner.outer": "trust_region"},
    ),
    **_agents(
        "promp",
        "MAML with ProMP's clipped objective and adaptive penalty",
        {"learner.algorithm": "maml", "learner.outer": "clipped", "learner.kl_penalty": 1.0},
    ),
    **_agents("fomaml", "first-order MAML", {"learner.algorithm": "fomaml"}),
    **_agents("reptile", "Reptile", {"learner.algorithm": "reptile"}),
    **_agents(
        "context-sac",
        "soft actor-critic under encodings of tasks, off-policy",
        {"learner.algorithm": "context_sac"},
    ),
    **_agents("sb3-reptile-ppo", "Reptile over PPO of Stable-Baselines3", _over_sb3("PPO")),
    **_agents("sb3-reptile-a2c", "Reptile over A2C of Stable-Baselines3", _over_sb3("A2C")),
    **_agents("sb3-reptile-sac", "Reptile over SAC of Stable-Baselines3", _over_sb3("SAC")),
    **_agents("sb3-reptile-td3", "Reptile over TD3 of Stable-Baselines3", _over_sb3("TD3")),
    **_agents("sb3-reptile-dqn", "Reptile over DQN of Stable-Baselines3", _over_sb3("DQN")),
    "rl2": MethodEntry(
        summary="RL²: recurrent PPO that remembers the episodes of a task",
        home="metarl_gan.methods.rl2:make_rl2",
    ),
    "fine-tuned": MethodEntry(
        summary="one policy for all tasks, fine-tuned to each",
        home="metarl_gan.methods.fine_tuned:make_fine_tuned",
    ),
    **_algorithms("scratch", "from scratch on each task", "scratch:make_scratch"),
    **_algorithms("oracle", "told which task it is in: an upper reference", "oracle:make_oracle"),
}
"""By name, in the order of lists."""


def make_method(
    name: str,
    overrides: Mapping[str, object] | None = None,
    *,
    preset: str = "default",
    known_as: str | None = None,
) -> "Method":
    """The method of a name.

    Args:
        name: a key of `METHODS`.
        overrides: settings by dotted name.
        preset: for those that have presets: "quick", "default" or "paper".
        known_as: its name in tables, where that is another.

    Raises:
        ConfigError: for a name that is unknown, with the nearest one, or settings that are not
            the method's.
    """
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(METHODS)}"
        raise ConfigError(f"unknown method {name!r}; {hint}")
    return METHODS[name].make(known_as or name, overrides or {}, preset)
