"""Which rows a terminal shows in which columns: what has no numbers is folded, and counted.

A method that papers print and nobody ran here has an empty row of our own, and its published rows
under it; folded, these stand by themselves, and only where averages are.
"""

from __future__ import annotations

from collections.abc import Sequence

from promptbench.report.table import Row, Table
from promptbench.support.prose import counted


def shown(table: Table, columns: Sequence[int], first: bool) -> list[Row]:
    """Return the rows that have something to say in these columns, of a table in parts.

    Args:
        columns: by number.
        first: the part is the first one, with averages or all that there is; a row that was run
            stands there even if it has no average, which the table's notes explain.
    """
    own = {row.variant for row in table.rows if was_run(row)}
    sums_up = first or any(table.headings[number].summary for number in columns)
    return [
        row
        for row in table.rows
        if (first and was_run(row))
        or (
            any(row.entries[number] is not None for number in columns)
            and (sums_up or row.variant in own)
        )
    ]


def was_run(row: Row) -> bool:
    """Return whether a row has records: one without stands above a paper's numbers."""
    return row.kind == "ours" and any(entry is not None for entry in row.entries)


def note(table: Table, parts: Sequence[tuple[Sequence[int], Sequence[Row]]]) -> str:
    """Return what is folded in the parts of a table, columns and rows each; empty if nothing."""
    seen = {id(row) for _, rows in parts for row in rows}
    empty = sum(row.kind == "ours" and id(row) not in seen for row in table.rows)
    papers = [row for row in table.rows if row.kind == "published"]
    hidden = sum(_numbers_hidden(row, parts) for row in papers)
    facts = [
        f"{counted(empty, 'empty row')} of methods that were not run here" if empty else "",
        f"numbers of single datasets in {counted(hidden, 'published row')}" if hidden else "",
    ]
    told = " and ".join(filter(None, facts))
    return f"folded: {told} (promptbench report --all shows them)" if told else ""


def _numbers_hidden(row: Row, parts: Sequence[tuple[Sequence[int], Sequence[Row]]]) -> bool:
    """Whether a row has numbers in columns of which no part shows it."""
    visible = {
        number for columns, rows in parts if any(r is row for r in rows) for number in columns
    }
    return any(e is not None and number not in visible for number, e in enumerate(row.entries))
