"""Settings of a baseline: its defaults, what was found for a family, and what a user gives."""

from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

from metarl_gan.config_io import Layer, flat, merge_layers, resolve, to_plain
from metarl_gan.envs.family import TaskFamily
from metarl_gan.methods.baseline_presets import ByFamily
from metarl_gan.methods.training_record import Assignment

S = TypeVar("S")


class BaselineSettings(Generic[S]):
    """Frozen settings by family; a user's win over a family's, and those over the defaults.

    Args:
        method: its name, for errors and records.
        defaults: what holds unless something else is given.
        by_family: what was found for families.
        own: a user's, by dotted name.

    Raises:
        ConfigError: for settings that do not exist or are of a wrong type.
    """

    def __init__(
        self, method: str, defaults: S, by_family: ByFamily, own: Mapping[str, object]
    ) -> None:
        self.method = method
        self._defaults, self._by_family = defaults, by_family
        self._own = Layer(source=f"method {method}", values=own)
        merge_layers(type(defaults), self._own)

    def of(self, family: TaskFamily) -> S:
        """The settings on a family. Raises `ConfigError` for what is out of range."""
        found = Layer(
            source=f"what was found for {family.name}", values=self._by_family.get(family.name, {})
        )
        return resolve(self._defaults, found, self._own)

    def plain(self, family: TaskFamily) -> dict[str, object]:
        """The same as plain values by dotted name."""
        return flat(to_plain(self.of(family)))

    def assignment(
        self, family: TaskFamily, *, seed: int, max_real_steps: int, folder: Path
    ) -> Assignment:
        """What is to be trained with these settings."""
        return Assignment(
            method=self.method,
            family=family,
            settings=self.plain(family),
            seed=seed,
            max_real_steps=max_real_steps,
            folder=folder,
        )
