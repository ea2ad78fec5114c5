"""Task families by name. Built-in families and a user's come in through the same door."""

import contextlib
import difflib
import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.gymnasium_ids import register_gymnasium_id
from metarl_gan.envs.references import import_reference

if TYPE_CHECKING:
    from metarl_gan.envs.family import TaskFamily

    FamilyFactory: TypeAlias = Callable[..., TaskFamily]

ENTRY_POINT_GROUP = "metarl_gan.families"
_SUITES = {
    "metaworld": "metarl_gan.envs.plug_in.metaworld:metaworld_family",
    "carl": "metarl_gan.envs.plug_in.carl:carl_family",
}
"""Other people's benchmarks, by what their families' names begin with: "metaworld/ML10"."""

_FILES = (".yaml", ".yml")

_factories: dict[str, "FamilyFactory | str"] = {}


def register_family(name: str, factory: "FamilyFactory | str", *, replace: bool = False) -> None:
    """Make a family known as `name`, and to Gymnasium: `"my-walk"` as `"metarl_gan/MyWalk-v0"`.

    Args:
        name: What `make_family` and `--family` take; without ':' and no file's name.
        factory: A callable that returns the family, or `"module:attribute"` of one, imported
            when it is first asked for.
        replace: Whether to take the place of a family of that name.

    Raises:
        FamilyError: The name is taken, reads like a reference or a file, or is Gymnasium's id of
            another family; or the factory is neither of the two.

    Packages register theirs through the entry-point group `metarl_gan.families`.
    """
    if not name or ":" in name or name.endswith(_FILES):
        raise FamilyError(f"family name {name!r}: give a name without ':', and none of a file")
    if name in _factories and not replace:
        raise FamilyError(f"family {name!r} is registered already; pass replace=True to replace it")
    if not callable(factory) and not (isinstance(factory, str) and ":" in factory):
        raise FamilyError(
            f"factory of {name!r} is {factory!r}; give a callable that returns a TaskFamily, "
            "or 'module:attribute'"
        )
    register_gymnasium_id(name)
    _factories[name] = factory


def register_entry_points() -> None:
    """Make the families of the entry points known to Gymnasium; imports none of them."""
    for name in _entry_points():
        # Two of one id: both remain known by their names here.
        with contextlib.suppress(FamilyError):
            register_gymnasium_id(name)


def list_families() -> list[str]:
    """The names that `make_family` knows, sorted; imports none of the families."""
    return sorted({*_factories, *_entry_points()})


def make_family(family: object, **options: Any) -> "TaskFamily":  # noqa: ANN401
    """The family of that name, or of that environment.

    Args:
        family: A registered name; `"metaworld/ML10"`, `"metaworld/ML1/reach-v3"` or
            `"carl/CARLPendulum"` where these packages are installed; `"module:attribute"` of a
            family, of what returns one, or of an environment that brings its tasks; such an
            environment, its class or what makes it (see `adapt_family`); the path of a YAML file
            (see `plug_in/yaml_family.py`); or a `TaskFamily`, which is returned as it is.
        **options: Passed to the family's factory, e.g. `threads=1` for MuJoCo families, or to
            `adapt_family`.

    Raises:
        FamilyError: No such name (the nearest names are listed), nothing there to import, or
            what is there is no `TaskFamily` and cannot be made one.
    """
    found = _named(family) if isinstance(family, str) else family
    return _family_of(found, family, options)


def lasting_reference(family: str) -> str:
    """What leads to the same family from any working folder: a file by its whole path."""
    return str(_path(family)) if family.endswith(_FILES) else family


def family_documentation(name: str) -> str:
    """The docstring of the function or class that makes the family `name`; `""` without one.

    Raises `FamilyError` where `name` leads nowhere.
    """
    from metarl_gan.envs.plug_in.parametric import ParametricFamily

    found = _named(name)
    if not (inspect.isroutine(found) or inspect.isclass(found)):
        found = type(found)
    # What is said of a tool is not said of what was made with it.
    return "" if found in (ParametricFamily, partial) else inspect.getdoc(found) or ""


def _named(name: str) -> object:
    """What is registered as `name`, or what it says where to find."""
    if name in _factories:
        source = _factories[name]
    elif name.endswith(_FILES):
        return partial(_of_file, _path(name))
    elif ":" in name:
        source = name
    elif name.partition("/")[0] in _SUITES:
        return _of_suite(*name.split("/", maxsplit=1))
    else:
        source = _entry_points().get(name)
    if source is None:
        raise FamilyError(f"unknown family {name!r}{_nearest(name)}; {_allowed()}")
    return import_reference(source) if isinstance(source, str) else source


def _path(name: str) -> Path:
    return Path(name).expanduser().resolve()


def _of_file(path: Path) -> object:
    from metarl_gan.envs.plug_in.yaml_family import family_from_yaml

    return family_from_yaml(path, make_family)


def _of_suite(suite: str, rest: str = "") -> object:
    factory = import_reference(_SUITES[suite])
    assert callable(factory)
    return partial(factory, rest)


def _family_of(found: object, asked: object, options: dict[str, Any]) -> "TaskFamily":
    """What `found` is, returns, or can be adapted to."""
    from metarl_gan.envs.family import TaskFamily
    from metarl_gan.envs.plug_in.adapters import adapt_family, is_environment
    from metarl_gan.envs.plug_in.carl import context_family, has_contexts

    if isinstance(found, TaskFamily):
        if options:
            raise FamilyError(f"{asked!r} is made already; it takes no options {list(options)}")
        return found
    if has_contexts(found):
        return context_family(found, **options)
    if is_environment(found):
        return adapt_family(found, **options)
    if callable(found):
        _require_options(found, asked, options)
    made = found(**options) if callable(found) else found
    if isinstance(made, TaskFamily):
        return made
    if callable(found) and is_environment(made):
        return adapt_family(partial(found, **options))
    gave = f"gave {made!r}, which is no TaskFamily" if made is not asked else "is no family"
    raise FamilyError(f"{asked!r} {gave}; {_allowed()}")


def _require_options(found: Callable[..., Any], asked: object, options: dict[str, Any]) -> None:
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # some of C have none
        return
    try:
        signature.bind(**options)
    except TypeError as error:
        raise FamilyError(
            f"{asked!r} cannot be made: {error}; its options are {list(signature.parameters)}"
        ) from error


def _entry_points() -> dict[str, str]:
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, list_families(), n=3, cutoff=0.5)
    return f", did you mean {' or '.join(map(repr, near))}?" if near else ""


def _allowed() -> str:
    return (
        f"give one of {list_families()}, 'metaworld/…' or 'carl/…' where that is installed, "
        "'module:attribute', the path of a YAML file, a TaskFamily, or an environment that brings "
        "its tasks"
    )
