"""A run folder: the resolved config, checkpoints, logs and reports of one training run."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from metarl_gan.checkpoint import (
    CheckpointError,
    has_checkpoint,
    load_checkpoint,
    load_state,
    save_checkpoint,
)
from metarl_gan.components import Components
from metarl_gan.config import Config, ConfigError
from metarl_gan.config_io import from_plain, to_plain
from metarl_gan.report_files import write_json
from metarl_gan.spaces import space_from_json, space_to_json

CONFIG = "config.json"
LAST, BEST = "checkpoints/last", "checkpoints/best"


class RunFolderError(ValueError):
    """A run folder that cannot be used as asked."""


class RunFolder:
    """Knows the places of files in a run, and nothing of what is learnt."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: str | Path, *, overwrite: bool) -> "RunFolder":
        """An empty run folder.

        Raises `RunFolderError` if there is something in it already and `overwrite` is False,
        if what is there is no run, or if it cannot be written.
        """
        path = Path(path)
        try:
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                cls._make_room(path, overwrite)
            path.mkdir(parents=True, exist_ok=True)
            probe = path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise RunFolderError(
                f"out is {str(path)!r}, which cannot be written: {error.strerror or error}; "
                "give a folder that can"
            ) from error
        return cls(path)

    @staticmethod
    def _make_room(path: Path, overwrite: bool) -> None:
        if not overwrite:
            raise RunFolderError(
                f"out is {str(path)!r}, which exists and is not empty: continue that run with "
                "resume, start it anew with overwrite, or give another folder"
            )
        if not path.is_dir() or not (path / CONFIG).is_file():
            raise RunFolderError(
                f"out is {str(path)!r}, which holds something that is not a run: overwrite "
                "removes runs only; give another folder"
            )
        shutil.rmtree(path)

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """An existing run. Raises `RunFolderError` if there is none."""
        path = Path(path)
        if not (path / CONFIG).is_file():
            raise RunFolderError(f"{str(path)!r} is not a run: it has no {CONFIG}")
        return cls(path)

    def write_config(self, config: Config) -> None:
        """Save the resolved config."""
        write_json(self.path / CONFIG, to_plain(config))

    def save(
        self,
        name: str,
        components: Components,
        tensors: Mapping[str, Tensor],
        state: Mapping[str, Any],
    ) -> None:
        """Write a checkpoint, with all that is needed to load it without the family's code."""
        about = {
            "config": to_plain(components.config),
            "observation_space": space_to_json(components.observation_space),
            "action_space": space_to_json(components.action_space),
            "horizon": components.horizon,
            "descriptor_size": components.descriptor_size,
        }
        save_checkpoint(self.path / name, tensors, {"components": about, "training": state})

    def load(self, name: str) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]:
        """`components` description, tensors and training state of a checkpoint.

        Raises `CheckpointError`.
        """
        tensors, state = load_checkpoint(self.path / name)
        with self.using(name):
            return state["components"], tensors, state["training"]

    def has(self, name: str) -> bool:
        """Whether there is a checkpoint of that name."""
        return has_checkpoint(self.path / name)

    def counters(self, name: str) -> dict[str, Any]:
        """The counters of a checkpoint; its tensors are not read. Raises `CheckpointError`."""
        state = load_state(self.path / name)
        with self.using(name):
            return dict(state["training"]["counters"])

    @contextmanager
    def using(self, name: str) -> Iterator[None]:
        """Put a checkpoint's content to use: what does not fit raises `CheckpointError`."""
        try:
            yield
        except (CheckpointError, ConfigError) as error:
            raise type(error)(f"{self.path / name}: {error}") from error
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"{self.path / name} does not hold what a training run writes "
                f"({type(error).__name__}: {error}); it was changed, or written by something else"
            ) from error


def build_components(about: Mapping[str, Any], device: str | None = None) -> Components:
    """The components that a checkpoint describes, with fresh weights; on another device, if given.

    Raises as `Components.build` does.
    """
    config = from_plain(Config, about["config"], "the checkpoint")
    return Components.build(
        config if device is None else replace(config, device=device),
        space_from_json(about["observation_space"]),
        space_from_json(about["action_space"]),
        int(about["horizon"]),
        int(about["descriptor_size"]),
    )
