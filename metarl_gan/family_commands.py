"""The sub-commands about task families."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from metarl_gan.cli_options import CheckOptions, FamiliesOptions, parse

if TYPE_CHECKING:
    from metarl_gan.envs import TaskFamily


def families(args: Sequence[str]) -> None:
    """`metarl-gan families`: a table of the registered families."""
    from metarl_gan.envs import FamilyError, list_families, make_family
    from metarl_gan.tables import families_table, make_console

    parse(FamiliesOptions, "families", args)
    rows: dict[str, TaskFamily | str] = {}
    for name in list_families():
        try:
            rows[name] = make_family(name)
        except FamilyError as error:
            # One broken plug-in must not hide the others.
            rows[name] = str(error)
    make_console().print(families_table(rows))


def check(args: Sequence[str]) -> None:
    """`metarl-gan check FAMILY`: what was checked, or every problem found."""
    from metarl_gan.envs import check_family

    options = parse(CheckOptions, "check", args)
    print(check_family(options.family, seed=options.seed))
