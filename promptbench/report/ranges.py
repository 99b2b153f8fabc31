"""How far the published values of the same cell lie apart: originals and re-runs side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptbench.report.table import Heading, Row

Range = tuple[float, float]  # the lowest and the highest value


def of_columns(rows: Sequence[Row], headings: Sequence[Heading]) -> list[Range | None]:
    """Return the range of published rows of one method in each column.

    None where fewer than two of them have a value. An average that is known to be over other
    datasets than the column's is not of the same cell.
    """
    return [_of_column(rows, number, heading) for number, heading in enumerate(headings)]


def _of_column(rows: Sequence[Row], number: int, heading: Heading) -> Range | None:
    values = [
        entry.mean
        for row in rows
        if (entry := row.entries[number]) is not None and _same(row, number, heading)
    ]
    return (min(values), max(values)) if len(values) > 1 else None


def _same(row: Row, number: int, heading: Heading) -> bool:
    over = row.over[number] if row.over else None
    return over in (None, len(heading.members))


def text(found: Range, decimals: int) -> str:
    """Return a range as text: one number where all values are printed alike."""
    ends = dict.fromkeys(f"{end:.{decimals}f}" for end in found)
    return "–".join(ends)


def blocks(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield rows in the table's order, those of papers for one method together."""
    for (kind, _), found in groupby(rows, key=lambda row: (row.kind, row.variant)):
        block = list(found)
        yield from [block] if kind == "published" else [[row] for row in block]


def notes(rows: Sequence[Row]) -> list[str]:
    """Return the note on ranges, of a table that has one."""
    if all(len(block) < 2 for block in blocks(rows)):
        return []
    return [
        "range: the lowest and the highest of a method's published values of one cell; averages "
        "over other datasets are not of the same cell"
    ]
