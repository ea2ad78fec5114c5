"""Objects by reference: `"module:attribute"`."""

import difflib
import re
import traceback
from importlib import import_module
from pathlib import Path

from metarl_gan.envs.errors import FamilyError

_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_reference(text: str) -> bool:
    """Whether `text` reads `module:attribute`; Gymnasium's `module:Name-v0` does not."""
    return _REFERENCE.fullmatch(text) is not None


def import_reference(source: str) -> object:
    """What `"module:attribute"` refers to.

    Raises `FamilyError` where the module cannot be imported, or has no such attribute.
    """
    module_name, _, attribute = source.partition(":")
    try:
        found: object = import_module(module_name)
    except ImportError as error:
        raise FamilyError(
            f"{source!r}: module {module_name!r} cannot be imported ({error}); is it installed, "
            "or its folder on PYTHONPATH?"
        ) from error
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise FamilyError(
            f"{source!r}: module {module_name!r} cannot be imported: {type(error).__name__}: "
            f"{error} ({Path(frame.filename).name}, line {frame.lineno})"
        ) from error
    for part in attribute.split("."):
        if part not in dir(found):
            public = [name for name in dir(found) if not name.startswith("_")]
            near = difflib.get_close_matches(part, public, n=3)
            raise FamilyError(
                f"{source!r}: {module_name!r} has no {attribute!r}"
                + (f"; did you mean {near}?" if near else f"; it has {public}")
            )
        found = getattr(found, part)
    return found
