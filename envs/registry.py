"""Task families by name. Built-in families and a user's come in through the same door."""

import difflib
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from metarl_gan.envs.errors import FamilyError

if TYPE_CHECKING:
    from metarl_gan.envs.family import TaskFamily

    FamilyFactory: TypeAlias = Callable[..., TaskFamily]

ENTRY_POINT_GROUP = "metarl_gan.families"
_SUITES = {
    "metaworld": "metarl_gan.envs.metaworld:metaworld_family",
    "carl": "metarl_gan.envs.carl:carl_family",
}
"""Other people's benchmarks, by what their families' names begin with: "metaworld/ML10"."""

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


def make_family(family: object, **options: Any) -> "TaskFamily":  # noqa: ANN401
    """The family of that name, or of that environment.

    Args:
        family: A registered name; `"metaworld/ML10"`, `"metaworld/ML1/reach-v3"` or
            `"carl/CARLPendulum"` where these packages are installed; `"module:attribute"` of a
            family, of what returns one, or of an environment that brings its tasks; such an
            environment, its class or what makes it (see `adapt_family`); or a `TaskFamily`, which
            is returned as it is.
        **options: Passed to the family's factory, e.g. `threads=1` for MuJoCo families, or to
            `adapt_family`.

    Raises:
        FamilyError: No such name (the nearest names are listed), nothing there to import, or
            what is there is no `TaskFamily` and cannot be made one.
    """
    found = _named(family) if isinstance(family, str) else family
    return _family_of(found, family, options)


def _named(name: str) -> object:
    """What is registered as `name`, or what it says where to find."""
    if name in _factories:
        source = _factories[name]
    elif ":" in name:
        source = name
    elif name.partition("/")[0] in _SUITES:
        return _of_suite(*name.split("/", maxsplit=1))
    else:
        source = _entry_points().get(name)
    if source is None:
        raise FamilyError(f"unknown family {name!r}{_nearest(name)}; {_allowed()}")
    return _imported(source) if isinstance(source, str) else source


def _of_suite(suite: str, rest: str = "") -> object:
    factory = _imported(_SUITES[suite])
    assert callable(factory)
    return partial(factory, rest)


def _family_of(found: object, asked: object, options: dict[str, Any]) -> "TaskFamily":
    """What `found` is, returns, or can be adapted to."""
    from metarl_gan.envs.adapters import adapt_family, is_environment
    from metarl_gan.envs.carl import context_family, has_contexts
    from metarl_gan.envs.family import TaskFamily

    if isinstance(found, TaskFamily):
        return found
    if has_contexts(found):
        return context_family(found, **options)
    if is_environment(found):
        return adapt_family(found, **options)
    made = found(**options) if callable(found) else found
    if isinstance(made, TaskFamily):
        return made
    if callable(found) and is_environment(made):
        return adapt_family(partial(found, **options))
    gave = f"gave {made!r}, which is no TaskFamily" if made is not asked else "is no family"
    raise FamilyError(f"{asked!r} {gave}; {_allowed()}")


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
    return (
        f"give one of {list_families()}, 'metaworld/…' or 'carl/…' where that is installed, "
        "'module:attribute', a TaskFamily, or an environment that brings its tasks"
    )
