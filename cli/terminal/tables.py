"""Tables for people: as wide as the terminal, or as wide as their content where a program or a file reads them."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence

from sinks.printable import visible

_UNBOUNDED = 10_000


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], right: Collection[str] = ()) -> None:
    """Rows under their columns on standard output; columns named in `right` hold numbers."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(Text(name), justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if value is None else visible(str(value))) for value in row))
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else _UNBOUNDED).print(table)
