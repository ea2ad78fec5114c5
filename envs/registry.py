"""Task families by name. Built-in families and a user's come in through the same door."""

import difflib
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from metarl_gan.envs.errors import FamilyError

if TYPE_CHECKING:
    from metarl_gan.envs.family import TaskFamily

    FamilyFactory: TypeAlias = Callable[..., TaskFamily]

ENTRY_POINT_GROUP = "metarl_gan.families"

_factories: dict[str, "FamilyFactory | str"] = {}


def register_family(name: str, factory: "FamilyFactory | str", *, replace: bool = False) -> None:
    """Make a family known as `name`.

    Args:
        name: What `make_family` and `--family` take; without ':'.
        factory: A callable that returns the family, or `"module:attribute"` of one, imported
            when it is first asked for.
        replace: Whether to take the place of a family of that name.

    Raises:
        FamilyError: The name is taken or contains ':', or the factory is neither of the two.

    Packages register theirs through the entry-point group `metarl_gan.families`.
    """
    if not name or ":" in name:
        raise FamilyError(f"family name {name!r}: give a name without ':'")
    if name in _factories and not replace:
        raise FamilyError(f"family {name!r} is registered already; pass replace=True to replace it")
    if not callable(factory) and not (isinstance(factory, str) and ":" in factory):
        raise FamilyError(
            f"factory of {name!r} is {factory!r}; give a callable that returns a TaskFamily, "
            "or 'module:attribute'"
        )
    _factories[name] = factory


def list_families() -> list[str]:
    """The names that `make_family` knows, sorted; imports none of the families."""
    return sorted({*_factories, *_entry_points()})


def make_family(family: "str | TaskFamily", **options: Any) -> "TaskFamily":  # noqa: ANN401
    """The family of that name.

    Args:
        family: A registered name, `"module:attribute"` (of a family, or of what returns one), or
            a `TaskFamily`, which is returned as it is.
        **options: Passed to the family's factory, e.g. `threads=1` for MuJoCo families.

    Raises:
        FamilyError: No such name (the nearest names are listed), nothing there to import, or
            what is there is no `TaskFamily`.
    """
    from metarl_gan.envs.family import TaskFamily

    if isinstance(family, TaskFamily):
        return family
    if not isinstance(family, str):
        raise FamilyError(f"{family!r} is no family; {_allowed()}")
    source = _factories.get(family, family if ":" in family else None)
    if source is None:
        source = _entry_points().get(family)
    if source is None:
        raise FamilyError(f"unknown family {family!r}{_nearest(family)}; {_allowed()}")
    found = _imported(source) if isinstance(source, str) else source
    if isinstance(found, TaskFamily):
        return found
    made = found(**options) if callable(found) else found
    if not isinstance(made, TaskFamily):
        raise FamilyError(f"{family!r} gave {made!r}, which is no TaskFamily; {_allowed()}")
    return made


def _entry_points() -> dict[str, str]:
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}


def _imported(source: str) -> object:
    module_name, _, attribute = source.partition(":")
    try:
        found: object = import_module(module_name)
    except ImportError as error:
        raise FamilyError(
            f"family {source!r}: module {module_name!r} cannot be imported ({error}); is it "
            "installed, or its folder on PYTHONPATH?"
        ) from error
    for part in attribute.split("."):
        if part not in dir(found):
            public = [name for name in dir(found) if not name.startswith("_")]
            near = difflib.get_close_matches(part, public, n=3)
            raise FamilyError(
                f"family {source!r}: {module_name!r} has no {attribute!r}"
                + (f"; did you mean {near}?" if near else f"; it has {public}")
            )
        found = getattr(found, part)
    return found


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, list_families(), n=3, cutoff=0.5)
    return f", did you mean {' or '.join(map(repr, near))}?" if near else ""


def _allowed() -> str:
    return f"give one of {list_families()}, 'module:attribute', or a TaskFamily"
