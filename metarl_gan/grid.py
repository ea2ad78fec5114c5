"""A table before it is known whether it goes to a terminal or into a file."""

from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from metarl_gan.tables import plain_table

NOTHING = "–"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Title, header and rows of text; the first column is to the left, others to the right."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def as_markdown(self) -> str:
        """With the title as a paragraph above."""
        lines = [self.header, ("---", *("---:" for _ in self.header[1:])), *self.rows]
        return "\n".join([self.title, "", *(f"| {' | '.join(line)} |" for line in lines)])

    def as_table(self) -> Table:
        """For the terminal."""
        table = plain_table(escape(self.title))
        for index, name in enumerate(self.header):
            table.add_column(name, justify="right" if index else "left")
        for row in self.rows:
            table.add_row(*map(escape, row))
        return table


def after_episodes(count: int) -> str:
    """The name of a column: `after 2 real episodes`."""
    if count == 0:
        return "before"
    return f"after {count} real episode{'s' * (count > 1)}"
