"""Checkpoints: a folder with `tensors.safetensors` and `state.json`, written atomically.

Nothing in a checkpoint is executable: loading one from a stranger runs no code of theirs.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

FORMAT = "metarl-gan checkpoint"
FORMAT_VERSION = 1
TENSORS, STATE = "tensors.safetensors", "state.json"


class CheckpointError(ValueError):
    """A checkpoint that is missing, truncated, of something else, or of a newer format."""


def save_checkpoint(folder: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write a checkpoint to `folder`; the one that was there is kept as `<folder>-previous`.

    A crash at any moment leaves at least one complete checkpoint.
    """
    writing = folder.with_name(folder.name + "-writing")
    shutil.rmtree(writing, ignore_errors=True)
    writing.mkdir(parents=True)
    content = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "tensors_sha256": hashlib.sha256(content).hexdigest(),
    }
    _write_durably(writing / TENSORS, content)
    text = json.dumps({**header, "state": dict(state)}, indent=1, allow_nan=False)
    _write_durably(writing / STATE, text.encode())
    previous = _previous(folder)
    if folder.exists():
        shutil.rmtree(previous, ignore_errors=True)
        folder.rename(previous)
    writing.rename(folder)


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and state of a checkpoint; nothing on disk is changed.

    A crash between the two renames of `save_checkpoint` leaves only the previous checkpoint,
    which is then the one that is loaded. Raises `CheckpointError`.
    """
    folder = _whole(folder)
    header = _header(folder)
    content = (folder / TENSORS).read_bytes()
    if hashlib.sha256(content).hexdigest() != header.get("tensors_sha256"):
        raise CheckpointError(
            f"{folder / TENSORS} is truncated or was changed: its checksum is not the one in "
            f"{STATE}{_hint(folder)}"
        )
    try:
        return load(content), header["state"]
    except SafetensorError as error:
        raise CheckpointError(f"{folder / TENSORS} is not a safetensors file: {error}") from error


def has_checkpoint(folder: Path) -> bool:
    """Whether a checkpoint is there, or the one before it."""
    return folder.exists() or _previous(folder).exists()


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint and the one before it, if they are there."""
    for path in (folder, _previous(folder)):
        shutil.rmtree(path, ignore_errors=True)


def load_state(folder: Path) -> dict[str, Any]:
    """The state of a checkpoint without its tensors, which is cheap. Raises `CheckpointError`."""
    return _header(_whole(folder))["state"]


def require_fit(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Raise `CheckpointError` unless tensors have the names and the shapes of `wanted`."""
    problems = [f"{name} is missing" for name in wanted if name not in given]
    problems += [f"{name} is unknown" for name in given if name not in wanted]
    problems += [
        f"{name} has shape {tuple(value.shape)} in place of {tuple(wanted[name].shape)}"
        for name, value in given.items()
        if name in wanted and value.shape != wanted[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise CheckpointError(
            f"the checkpoint's tensors are not those of its config: {'; '.join(problems[:3])}{more}"
        )


def _whole(folder: Path) -> Path:
    if not folder.exists() and _previous(folder).exists():
        folder = _previous(folder)
    if not (folder / STATE).is_file() or not (folder / TENSORS).is_file():
        raise CheckpointError(
            f"no checkpoint in {folder}: it needs {STATE} and {TENSORS}; give the folder of a run"
        )
    return folder


def _header(folder: Path) -> dict[str, Any]:
    path = folder / STATE
    try:
        header = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is truncated or not JSON: {error}{_hint(folder)}") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT or "state" not in header:
        raise CheckpointError(f"{path} is not a checkpoint of metarl-gan")
    version = header.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {version!r}; this metarl-gan reads {FORMAT_VERSION}: "
            "install the version that wrote it, or train again"
        )
    return header


def _hint(folder: Path) -> str:
    previous = _previous(folder)
    if not previous.exists():
        return ""
    return (
        f"; the checkpoint before it is whole in {previous}: rename it to {folder.name} to use it"
    )


def _previous(folder: Path) -> Path:
    return folder.with_name(folder.name + "-previous")


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
