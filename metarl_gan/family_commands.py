"""The sub-commands about task families."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from metarl_gan.cli_options import CheckOptions, FamiliesOptions, parse

if TYPE_CHECKING:
    from metarl_gan.envs import TaskFamily

FAULTY = 1
"""Exit code of `metarl-gan check` for a family with problems."""


def families(args: Sequence[str]) -> None:
    """`metarl-gan families [FAMILY]`: all registered families in short, or one in full."""
    options = parse(FamiliesOptions, "families", args)
    if options.family is None:
        _list_all()
    else:
        _describe(options.family)


def check(args: Sequence[str]) -> None:
    """`metarl-gan check FAMILY`: what was checked, or every problem found and exit code 1."""
    from metarl_gan.envs.checks.check import FamilyCheckError, check_family
    from metarl_gan.envs.registry import make_family

    options = parse(CheckOptions, "check", args)
    family = make_family(options.family)
    try:
        print(check_family(family, seed=options.seed, seconds=options.seconds))
    except FamilyCheckError as error:
        print(error)
        raise SystemExit(FAULTY) from error


def _list_all() -> None:
    from metarl_gan.envs import list_families, make_family
    from metarl_gan.family_pages import families_overview
    from metarl_gan.tables import make_console

    made: dict[str, TaskFamily | str] = {}
    for name in list_families():
        try:
            made[name] = make_family(name)
        except Exception as error:  # noqa: BLE001 - a broken plug-in must not hide the others
            made[name] = f"{type(error).__name__}: {error}"
    print(families_overview(made, make_console().width))
    print("\nmetarl-gan families FAMILY shows one in full; metarl-gan check FAMILY tries it.")


def _describe(name: str) -> None:
    from metarl_gan.envs import list_families
    from metarl_gan.envs.gymnasium_ids import gymnasium_id
    from metarl_gan.envs.registry import family_documentation, make_family
    from metarl_gan.family_pages import family_page
    from metarl_gan.tables import make_console

    console = make_console()
    page = family_page(
        name,
        make_family(name),
        documentation=family_documentation(name),
        gymnasium_id=gymnasium_id(name) if name in list_families() else None,
        width=console.width,
    )
    console.print(page)
