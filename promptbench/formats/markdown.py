"""GitHub Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from promptbench.api import Format, Grid, Table
from promptbench.report import text
from promptbench.report.text import Line
from promptbench.support.markdown import escaped

_COLUMNS = 12  # more make a new table


class Markdown(Format):
    title, suffix = "Markdown", ".md"

    def render(self, tables: Sequence[Table]) -> str:
        """Return the tables one after another."""
        return "\n".join(map(_table, tables))

    def render_grids(self, grids: Sequence[Grid]) -> str:
        """Return the grids one after another; grey rows are in italics."""
        return "\n".join(map(_grid, grids))


def _grid(grid: Grid) -> str:
    lines = [
        [escaped(grid.head), *map(escaped, grid.columns)],
        ["---", *("---:" for _ in grid.columns)],
    ]
    for row in grid.rows:
        mark = "*" if row.muted else ""
        lines.append([f"{mark}{escaped(cell)}{mark}" for cell in (row.title, *row.cells)])
    return "\n\n".join(
        [
            f"**{escaped(grid.title)}**",
            *([f"> {escaped(grid.banner)}"] if grid.banner else []),
            "\n".join(f"| {' | '.join(line)} |" for line in lines),
            "\n".join(f"- {escaped(note)}" for note in grid.notes) + "\n",
        ]
    )


def _table(table: Table) -> str:
    """One or several tables, the notes as a list."""
    pieces = [f"**{escaped(table.title)}**"]
    if table.banner:
        pieces.append(f"> {escaped(table.banner)}")
    pieces += [
        _part(table, columns)
        for columns in text.parts(table.headings, lambda part: len(part) <= _COLUMNS)
    ]
    notes = [f"- {escaped(note)}" for note in text.footnotes(table)]
    if notes:
        pieces.append("\n".join(notes))
    return "\n\n".join(pieces) + "\n"


def _part(table: Table, columns: Sequence[int]) -> str:
    heads = []
    for number in columns:
        heading = table.headings[number]
        same = heading.group == heading.title
        heads.append(heading.title if same else f"{heading.group} {heading.title}")
    rows = [["method", *map(escaped, heads), "n"], ["---", *("---:" for _ in heads), "---:"]]
    for paradigm, of_paradigm in table.sections():
        rows.append([f"**{escaped(paradigm)}**", *("" for _ in heads), ""])
        rows += [_row(line, columns) for line in text.lines(table, of_paradigm)]
    if (sampling := text.sampling(table)) is not None:
        rows.append(_row(sampling, columns))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(line: Line, columns: Sequence[int]) -> list[str]:
    """Grey does not exist here: rows that use split knowledge are in italics."""
    indent = "&nbsp;&nbsp;" if line.kind in ("published", "range", "difference") else ""
    mark = "*" if line.uses_split else ""
    cells = []
    for number in columns:
        cell = escaped(line.cells[number])
        if number in line.second:
            cells.append(f"<ins>{cell}</ins>")
            continue
        around = "**" if number in line.best else mark if cell else ""
        cells.append(f"{around}{cell}{around}")
    return [f"{indent}{mark}{escaped(line.title)}{mark}", *cells, line.n]
