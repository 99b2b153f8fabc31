"""What all formats share: numbers as text, clean titles, wide tables in parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from promptbench.statistics import ENOUGH_SEEDS, Estimate

if TYPE_CHECKING:
    from promptbench.report.table import Heading, Row, Table

NOTHING = "—"


def figure(value: Estimate | None) -> str:
    """A number with its interval and the mark of too few seeds; a dash where there is none."""
    if value is None:
        return NOTHING
    interval = "" if value.half_width is None else f" ±{value.half_width:.2f}"
    few = "†" if 0 < value.n < ENOUGH_SEEDS else ""
    return f"{value.mean:.2f}{interval}{few}"


@dataclass(frozen=True)
class Line:
    """A line of text cells, one per column, and what it is."""

    title: str
    cells: tuple[str, ...]
    n: str
    kind: Literal["ours", "published", "difference"]
    uses_split: bool
    best: frozenset[int] = frozenset()


def lines(table: Table, rows: Sequence[Row]) -> list[Line]:
    """Rows as text: ours, and under it each source with its difference."""
    numbers = table.sources()
    found = []
    for row in rows:
        cells = tuple(figure(entry) for entry in row.entries)
        if row.kind == "ours":
            n = str(row.n) if row.n else ""
            found.append(Line(row.title, cells, n, "ours", row.uses_split, row.best))
            continue
        number = numbers[row.source, row.origin, row.note]
        cells = tuple("" if entry is None else figure(entry) for entry in row.entries)
        origin = "origin unknown" if row.origin == "unknown" else row.origin
        title = f"published, {origin} [{number}]"
        found.append(Line(title, cells, "", "published", row.uses_split))
        if any(difference is not None for difference in row.differences):
            signed = tuple("" if d is None else f"{d:+.2f}" for d in row.differences)
            found.append(Line("difference", signed, "", "difference", row.uses_split))
    return found


def footnotes(table: Table) -> list[str]:
    """The notes, then the numbered sources."""
    cited = [
        f"[{number}] {'origin unknown' if origin == 'unknown' else origin}: {source}"
        + (f"; {note}" if note else "")
        for (source, origin, note), number in table.sources().items()
    ]
    return [*table.notes, *cited]


def parts(headings: Sequence[Heading], fits: Callable[[list[int]], bool]) -> list[list[int]]:
    """The columns (by number) in as many parts as `fits` asks for; groups stay whole if they can.

    A part always holds at least one column.
    """
    found: list[list[int]] = [[]]
    for block in blocks(headings):
        pieces = [block] if fits(block) else [[number] for number in block]
        for piece in pieces:
            if found[-1] and not fits([*found[-1], *piece]):
                found.append([])
            found[-1] += piece
    return [part for part in found if part]


def blocks(headings: Sequence[Heading]) -> list[list[int]]:
    """The columns (by number) by group."""
    found: list[list[int]] = []
    for number, heading in enumerate(headings):
        if not number or heading.group != headings[number - 1].group:
            found.append([])
        found[-1].append(number)
    return found
