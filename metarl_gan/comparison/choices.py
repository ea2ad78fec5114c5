"""Which methods a comparison is of, under which names and with which settings."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from metarl_gan.config_error import ConfigError
from metarl_gan.methods.registry import make_method
from metarl_gan.named_settings import parse_named_settings

if TYPE_CHECKING:
    from metarl_gan.methods.method import Method


@dataclass(frozen=True, kw_only=True)
class MethodChoice:
    """A method under a name.

    Args:
        name: in tables, and of a folder: letters, digits, `-`, `_` and `+`.
        method: in the registry.
        overrides: settings by dotted name; strings are read as on the command line.

    Raises:
        ConfigError: for a name that makes no folder.
    """

    name: str
    method: str
    overrides: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][\w+-]*", self.name):
            raise ConfigError(f"a method is named {self.name!r}; use letters, digits, - _ + only")

    def make(self, preset: str) -> "Method":
        """The method itself. Raises `ConfigError` for one that there is not, or its settings."""
        return make_method(self.method, self.overrides, preset=preset, known_as=self.name)

    def as_named(self) -> "MethodChoice":
        """The method with none but the settings that its name in the registry stands for."""
        return replace(self, overrides={})


def choose_methods(
    names: Sequence[str], own: Sequence[MethodChoice] = ()
) -> tuple[MethodChoice, ...]:
    """The methods of these names, each with the settings that `own` has for it, then the rest.

    Args:
        names: in the order of tables; one may hold several, separated by commas.
        own: methods with settings.
    """
    split = [part for name in names for part in name.split(",") if part]
    given = {choice.name: choice for choice in own}
    if len(given) < len(own):
        repeated = [choice.name for choice in own]
        raise ConfigError(f"--method gives {repeated}; give all settings of a method at once")
    chosen = [given.pop(name, MethodChoice(name=name, method=name)) for name in split]
    return (*chosen, *given.values())


def parse_method(words: Sequence[str]) -> MethodChoice:
    """As `--method` takes it: `NAME setting=value …`, or `NEW=NAME setting=value …`.

    Raises:
        ConfigError: for words that are not of this form.
    """
    name, settings = parse_named_settings("--method", words)
    known_as, renamed, method = name.partition("=")
    return MethodChoice(name=known_as, method=method if renamed else known_as, overrides=settings)
