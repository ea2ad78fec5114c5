"""Task families for the terminal: all in short, or one in full. Readable when piped."""

import re
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gymnasium import spaces
from rich.console import Group
from rich.table import Table
from rich.text import Text

from metarl_gan.envs.distributions import Choice
from metarl_gan.tables import plain_table

if TYPE_CHECKING:
    from metarl_gan.envs.distributions import Distribution
    from metarl_gan.envs.family import TaskFamily

_NAMED = 4  # parameters of one range that are listed by name in short
_CHOICES = 8  # so many are listed
_UNBOUNDED = 1e6


def families_overview(families: "Mapping[str, TaskFamily | str]", width: int) -> str:
    """What each family is, in a few lines: ranges with units, splits, horizon, sizes, floors.

    Args:
        families: by name, the family or the message of the error that making it raised.
        width: longest line, in characters.
    """
    blocks = []
    for name, family in families.items():
        lines = [f"cannot be made: {family}"] if isinstance(family, str) else _short(family)
        blocks.append("\n".join([name, *(_indented(line, width) for line in lines)]))
    return "\n\n".join(blocks)


def family_page(
    name: str,
    family: "TaskFamily",
    *,
    documentation: str,
    gymnasium_id: str | None,
    width: int,
) -> Group:
    """One family in full: its documentation, ranges by split, spaces, floors, how to use it.

    Args:
        name: what it was asked for by.
        family: the family.
        documentation: of what makes it, as its source has it.
        gymnasium_id: its id in Gymnasium's registry, if it has one.
        width: longest line of the documentation, in characters.
    """
    facts = {
        "horizon": f"{family.horizon} steps",
        "observations": _space(family.observation_space),
        "actions": _space(family.action_space),
        "backends": ", ".join(family.backends),
        "returns": _floors(family),
        "train on it": f"metarl-gan train --family {name}",
        "check it": f"metarl-gan check {name}",
    }
    if gymnasium_id:
        facts["in Gymnasium"] = f'gymnasium.make("{gymnasium_id}", task=...)'
    table = Table.grid(padding=(0, 2))
    for key, value in facts.items():
        table.add_row(Text(key, style="bold"), Text(value))
    text = f"\n{_wrapped(documentation, width)}\n" if documentation else ""
    note = "Of ranges that splits share, a hash of the parameters says which tasks are whose.\n"
    return Group(Text(name, style="bold"), Text(text), _ranges_table(family), Text(note), table)


def _short(family: "TaskFamily") -> list[str]:
    train = family.parameters
    lines = [f"train: {_ranges(train)}"]
    for split in family.splits[1:]:
        ranges = family.task_space.ranges(split)
        own = {name: range_ for name, range_ in ranges.items() if range_ != train[name]}
        lines.append(f"{split}: {_ranges(own) if own else 'other tasks of the same ranges'}")
    sizes = f"observations {_size(family.observation_space)}, actions {_size(family.action_space)}"
    lines.append(f"{family.horizon} steps; {sizes}; {', '.join(family.backends)}")
    return [*lines, _floors(family)]


def _ranges(ranges: "Mapping[str, Distribution]") -> str:
    """Parameters of one range together: `x, y -0.5…0.5`."""
    by_text: dict[str, list[str]] = {}
    for name, range_ in ranges.items():
        by_text.setdefault(_range(range_), []).append(name)
    return "; ".join(f"{_names(names)} {text}" for text, names in by_text.items())


def _range(range_: "Distribution") -> str:
    """The range as text; many choices in short."""
    if not isinstance(range_, Choice) or len(range_.values) <= _CHOICES:
        return range_.text
    return f"{len(range_.values)} choices from {range_.values[0]} to {range_.values[-1]}"


def _wrapped(documentation: str, width: int) -> str:
    """Long lines broken anew, items of a list as a whole."""
    items = re.sub(r"(?m)(^- .*(?:\n  \S.*)+)", lambda m: " ".join(m[0].split()), documentation)
    return "\n".join(
        textwrap.fill(
            line,
            width,
            subsequent_indent="  " if line.startswith(("-", " ")) else "",
            replace_whitespace=False,
        )
        for line in items.splitlines()
    )


def _indented(line: str, width: int) -> str:
    return textwrap.fill(
        line,
        width,
        initial_indent="    ",
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _names(names: list[str]) -> str:
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{', '.join(names[: _NAMED - 1])} and {len(names) - _NAMED + 1} more"


def _ranges_table(family: "TaskFamily") -> Table:
    """A row per parameter; splits of the same ranges share a column."""
    columns: dict[tuple[str, ...], list[str]] = {}
    for split in family.splits:
        ranges = family.task_space.ranges(split).values()
        cells = tuple(_range(range_).removesuffix(f" {range_.unit}") for range_ in ranges)
        columns.setdefault(cells, []).append(split)
    table = plain_table("Task parameters")
    for heading in ("parameter", "unit", *(", ".join(splits) for splits in columns.values())):
        table.add_column(heading, overflow="fold")
    for name, *cells in zip(family.parameters, *columns, strict=True):
        table.add_row(*map(Text, (name, family.parameters[name].unit, *cells)))
    return table


def _size(space: object) -> str:
    if isinstance(space, spaces.Discrete):
        return f"{space.n} (discrete)"
    return str(space.shape[0]) if isinstance(space, spaces.Box) else str(space)


def _space(space: object) -> str:
    if not isinstance(space, spaces.Box):
        return _size(space)
    low, high = space.low.min(), space.high.max()
    bounded = max(abs(low), abs(high)) < _UNBOUNDED
    return f"{_size(space)}, {f'in [{low:g}, {high:g}]' if bounded else 'unbounded'}"


def _floors(family: "TaskFamily") -> str:
    """Returns per episode of who knows nothing, and of a good agent."""
    floors = [f"{key.replace('_', ' ')} {value:g}" for key, value in family.floors.items()]
    if family.reference is not None:
        floors.append(f"reference {family.reference:g}")
    return f"{', '.join(floors)} (per episode)" if floors else "no floors measured"
