"""Tables as plain text, for ``print(task)``, ``print(agent)`` and commands."""

import io
from collections.abc import Sequence


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], numbers: bool = False) -> str:
    """Return a table as plain text; ``numbers`` aligns all columns but the first at the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(
        *columns, title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_header=any(columns)
    )
    for column in drawn.columns[1:] if numbers else ():
        column.justify = "right"
    for row in rows:
        drawn.add_row(*map(str, row))
    screen = Console(
        file=io.StringIO(), width=250 if numbers else 110, markup=False, emoji=False, highlight=False, color_system=None
    )
    screen.print(drawn)
    text: str = screen.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")
