"""The arms of an ablation: overrides on one common config, each differing in one thing."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from metarl_gan.config import Config, ConfigError
from metarl_gan.config_io import Layer, merge_layers
from metarl_gan.named_settings import parse_named_settings

NONE, GAN = "none", "gan"
"""The arms that others are compared with."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A name, and the settings in which the arm differs from the common config.

    Args:
        name: also the name of a folder: letters, digits, `-` and `_`.
        overrides: settings by dotted name; strings are read as on the command line.

    Raises:
        ConfigError: for a name that makes no folder, or a setting or value that does not exist.
    """

    name: str
    overrides: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][\w-]*", self.name):
            raise ConfigError(f"an arm is named {self.name!r}; use letters, digits, - and _ only")
        layer = Layer(source=f"arm {self.name}", values=self.overrides)
        merged = merge_layers(Config, layer)
        if "seed" in merged or "family" in merged:
            raise ConfigError(f"arm {self.name} sets seed or family, which all arms share")
        object.__setattr__(self, "overrides", merged)


_BUILT_IN = (
    Arm(name=NONE, overrides={"generated": False}),
    Arm(name=GAN),
    Arm(
        name="ensemble",
        overrides={
            "generator.kind": "ensemble",
            "generator.members": 5,
            "generator.elites": 3,
            "adversarial.adversarial_weight": 0.0,
        },
    ),
    Arm(name="diffusion", overrides={"generator.kind": "diffusion"}),
    Arm(name="simulator", overrides={"generator.kind": "simulator"}),
    Arm(name="shuffled", overrides={"augmentation.shuffled_context": True}),
    Arm(
        name="regression",
        overrides={"adversarial.adversarial_weight": 0.0, "generator.noise_size": 0},
    ),
)
BUILT_IN: Mapping[str, Arm] = {arm.name: arm for arm in _BUILT_IN}
"""`none`: without generated data; `gan`: the common config as it is; `ensemble`, `diffusion`,
`simulator`: other generators; `shuffled`: every task imagined under another one's context;
`regression`: the networks of `gan` without discriminator and noise."""

DEFAULT_ARMS = (NONE, GAN, "ensemble", "diffusion", "simulator", "shuffled")


def choose_arms(names: Sequence[str], own: Sequence[Arm] = ()) -> tuple[Arm, ...]:
    """The built-in arms of these names, and the user's own.

    Raises:
        ConfigError: for a name that is unknown, with the nearest one, or an own arm that is named
            as a built-in one.
    """
    for arm in own:
        if arm.name in BUILT_IN:
            raise ConfigError(f"arm {arm.name!r} is built in; give yours another name")
    known = {**BUILT_IN, **{arm.name: arm for arm in own}}
    for name in names:
        if name not in known:
            raise ConfigError(_unknown(name, list(known)))
    return (*(known[name] for name in names), *(arm for arm in own if arm.name not in names))


def parse_arm(words: Sequence[str]) -> Arm:
    """An arm as `--arm` takes it: a name, then `setting=value` for each setting.

    Raises:
        ConfigError: for words that are not of this form, and as `Arm` does.
    """
    name, overrides = parse_named_settings("--arm", words)
    return Arm(name=name, overrides=overrides)


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    return f"unknown arm {name!r}; {hint} (--arm NAME setting=value defines one)"
