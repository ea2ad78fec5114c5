"""Writing results so that a reader never meets half a file, and strict JSON parsers take them."""

import csv
import io
import json
import os
import platform
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from metarl_gan.statistics import FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VERSIONED = ("metarl-gan", "torch", "numpy", "gymnasium", "mujoco", "stable-baselines3")


class ReportError(ValueError):
    """A report that contradicts itself, or a file that holds no report of the kind asked for."""


def frozen_array(values: ArrayLike) -> FloatArray:
    """A float64 copy that nobody can write to; null (None) becomes NaN."""
    array = np.array(values, dtype=np.float64)
    array.flags.writeable = False
    return array


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on, by distribution name."""
    versions = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def json_safe(value: object) -> object:
    """A copy of plain data that strict JSON can hold: arrays as lists, NaN and infinities as null.

    Args:
        value: nested mappings and sequences of numbers, strings, booleans, None and arrays.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(value, np.ndarray | np.generic):
        return json_safe(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(item) for item in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    raise TypeError(f"{value!r} of type {type(value).__name__} has no place in a JSON report")


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file whole or not at all: a neighbour is written first and then renamed.

    Raises:
        OSError: when the folder cannot be made or written to; the former file is then untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, neighbour = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner may read; results are for sharing.
        mask = os.umask(0)
        os.umask(mask)
        Path(neighbour).chmod(0o666 & ~mask)
        Path(neighbour).replace(path)
    except BaseException:
        Path(neighbour).unlink(missing_ok=True)
        raise
    return path


def write_json(path: Path, content: Mapping[str, object]) -> Path:
    """Write plain data (see `json_safe`) as indented JSON, atomically."""
    text = json.dumps(json_safe(content), indent=2, allow_nan=False)
    return write_bytes(path, (text + "\n").encode())


def write_csv(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], *, comment: str = ""
) -> Path:
    """Write a table as CSV, atomically. Floats keep every digit.

    A comment is a first line that starts with `#`, as `pandas.read_csv(path, comment="#")` and
    `numpy.genfromtxt` leave out.
    """
    buffer = io.StringIO(newline="")
    if comment:
        buffer.write(f"# {comment}\n")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return write_bytes(path, buffer.getvalue().encode())


def write_figure(path: Path, figure: "Figure", *, description: str = "") -> Path:
    """Write a figure as PNG, atomically; the description is a text in the file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Description": description})
    return write_bytes(path, buffer.getvalue())


def read_report(path: Path, kind: str, default_pattern: str) -> dict[str, object]:
    """The content of a report's JSON file.

    Args:
        path: the file, or a folder that holds exactly one file matching `default_pattern`.
        kind: what the file must say that it is.
        default_pattern: glob pattern of such reports' file names.

    Raises:
        ReportError: when there is no such file, several, or it holds something else.
    """
    if path.is_dir():
        found = sorted(path.glob(default_pattern))
        if len(found) != 1:
            listed = ", ".join(file.name for file in found) or "none"
            raise ReportError(
                f"{path} holds {len(found)} files {default_pattern} ({listed}); name one of them"
            )
        path = found[0]
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise ReportError(f"no report at {path}; `metarl-gan evaluate RUN` writes one") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ReportError(f"{path} is not a JSON file ({error})") from None
    if not isinstance(content, dict) or content.get("kind") != kind:
        named = content.get("kind") if isinstance(content, dict) else None
        raise ReportError(f"{path} holds a report of kind {named!r}; expected {kind!r}")
    return content
