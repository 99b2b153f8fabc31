"""For the terminal: as many columns side by side as its width allows, averages first."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from promptbench.api import Format, Grid, Table
from promptbench.report import folding, text
from promptbench.report.table import Row, sections
from promptbench.report.text import Line
from promptbench.support.prose import say
from promptbench.support.safe_text import spelled

_STYLES = {
    "ours": "",
    "published": "cyan",
    "difference": "italic",
    "range": "cyan",
    "sampling": "dim",
}
_TITLE_WIDTH = 40  # longer titles wrap
_NARROW = 24  # where averages would not fit beside each other otherwise


class Rich(Format):
    title, suffix = "Terminal", ""

    def render(self, tables: Sequence[Table]) -> str:
        """Return what the terminal of standard output shows, in its width, colours and encoding."""
        return self._rendered(tables, whole=False)

    def render_whole(self, tables: Sequence[Table]) -> str:
        """Return the same with rows that have no numbers, and papers' rows in every column."""
        return self._rendered(tables, whole=True)

    def _rendered(self, tables: Sequence[Table], whole: bool) -> str:
        console = Console()
        with console.capture() as shown:
            for table in tables:
                show(table, console, whole)
        return shown.get()

    def render_grids(self, grids: Sequence[Grid]) -> str:
        """Return the grids as a terminal shows them; columns that do not fit follow below."""
        console = Console()
        with console.capture() as shown:
            for grid in grids:
                _show_grid(grid, console)
        return shown.get()


def _show_grid(grid: Grid, console: Console) -> None:
    if grid.banner:
        say(console, grid.banner, style="yellow")
    say(console, grid.title, style="bold")
    parts, width = _grid_parts(grid, console)
    for columns in parts:
        console.print(_grid(grid, columns, console.encoding, width))
    for note in grid.notes:
        say(console, note, style="dim")


def _grid_parts(grid: Grid, console: Console) -> tuple[list[list[int]], int]:
    """The columns side by side, as many as fit, and the room for titles: before each part stand
    those that tell rows apart, if they leave room for any other."""

    def fits(columns: Sequence[int], width: int) -> bool:
        return _fits(_grid(grid, columns, console.encoding, width), console)

    keys, others, width = list(range(grid.keys)), range(grid.keys, len(grid.columns)), _TITLE_WIDTH
    if keys and not all(fits([*keys, number], width) for number in others):
        width = _NARROW
        if not all(fits([*keys, number], width) for number in others):
            keys, others, width = [], range(len(grid.columns)), _TITLE_WIDTH
    parts = [[*keys]]
    for number in others:
        if parts[-1] != keys and not fits([*parts[-1], number], width):
            parts.append([*keys])
        parts[-1].append(number)
    return parts, width


def _grid(grid: Grid, columns: Sequence[int], encoding: str, width: int) -> RichTable:
    view = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    view.add_column(Text(grid.head), max_width=width, overflow="fold")
    for number in columns:
        view.add_column(
            Text(grid.columns[number].replace(" ", "\n", 1)), justify="right", no_wrap=True
        )
    for row in grid.rows:
        cells = [Text(spelled(row.cells[number], encoding)) for number in columns]
        style = "bright_black" if row.muted else ""
        view.add_row(Text(spelled(row.title, encoding)), *cells, style=style)
    return view


def _fits(view: RichTable, console: Console) -> bool:
    unbounded = console.options.update(max_width=10_000)
    return Measurement.get(console, unbounded, view).maximum <= console.width


def show(table: Table, console: Console, whole: bool = False) -> None:
    """Print a table, its notes and its sources; `whole`: with every row in every column."""
    if table.banner:
        say(console, table.banner, style="yellow")
    say(console, table.title, style="bold")
    width = _title_width(table, console, whole)
    parts = _parts(table, console, whole, width)
    for columns, rows in parts:
        console.print(_view(table, columns, rows, console.encoding, width))
    if not whole and (folded := folding.note(table, parts)):
        say(console, folded, style="yellow")
    for note in text.footnotes(table, [row for _, rows in parts for row in rows]):
        say(console, note, style="dim")


def _title_width(table: Table, console: Console, whole: bool) -> int:
    """Room for titles: less of it where all columns, or the first group of them, then fit."""
    every = list(range(len(table.headings)))
    heading = table.headings[text.averages_first(table.headings, lambda _: False)[0][0]]
    kind = (heading.group, heading.summary)
    group = [n for n in every if (table.headings[n].group, table.headings[n].summary) == kind]
    for columns in (every, group):
        rows = table.rows if whole else folding.shown(table, columns, first=True)
        wide, narrow = (
            _fits(_widest(table, columns, rows, console.encoding, width), console)
            for width in (_TITLE_WIDTH, _NARROW)
        )
        if wide or narrow:
            return _TITLE_WIDTH if wide else _NARROW
    return _TITLE_WIDTH


def _parts(
    table: Table, console: Console, whole: bool, width: int
) -> list[tuple[list[int], Sequence[Row]]]:
    """The columns side by side, as many as fit, and the rows that are shown in them."""

    def rows_of(columns: Sequence[int], first: bool) -> Sequence[Row]:
        return table.rows if whole else folding.shown(table, columns, first)

    def fits(columns: Sequence[int]) -> bool:
        rows = rows_of(columns, first=True)
        return _fits(_widest(table, columns, rows, console.encoding, width), console)

    parts = text.averages_first(table.headings, fits)
    found = [(part, rows_of(part, first=not number)) for number, part in enumerate(parts)]
    return [(columns, rows) for columns, rows in found if rows]


def _view(
    table: Table, columns: Sequence[int], rows: Sequence[Row], encoding: str, width: int
) -> RichTable:
    view = _headed(table, columns, width)
    for section, own in sections(rows):
        view.add_section()
        view.add_row(Text(section, style="bold underline"))
        for line in text.lines(table, own):
            _add(view, line, columns, encoding)
    if (sampling := text.sampling(table)) is not None:
        view.add_section()
        _add(view, sampling, columns, encoding)
    return view


def _widest(
    table: Table, columns: Sequence[int], rows: Sequence[Row], encoding: str, width: int
) -> RichTable:
    """A view as wide as that of these rows, with the widest cell of each column: rich measures a
    cell more slowly than a whole table of them is read."""
    cells = []
    for section, own in sections(rows):
        cells += [[section], *(_cells(line, columns, encoding) for line in text.lines(table, own))]
    if (sampling := text.sampling(table)) is not None:
        cells.append(_cells(sampling, columns, encoding))
    view = _headed(table, columns, width)
    view.add_row(*(Text(max(own, key=cell_len)) for own in zip_longest(*cells, fillvalue="")))
    return view


def _headed(table: Table, columns: Sequence[int], width: int) -> RichTable:
    """A view without rows."""
    view = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    view.add_column("method", max_width=width, overflow="fold")
    last = None
    for number in columns:
        heading = table.headings[number]
        group, last = (heading.group if heading.group != last else ""), heading.group
        title = heading.title if heading.title != heading.group else ""
        view.add_column(Text(f"{group}\n{title}"), justify="right", no_wrap=True)
    view.add_column("\nn", justify="right")
    return view


def _add(view: RichTable, line: Line, columns: Sequence[int], encoding: str) -> None:
    style = "bright_black" if line.uses_split else _STYLES[line.kind]
    title, *cells, n = _cells(line, columns, encoding)
    marked = [
        Text(cell, style=_mark(line, number)) for cell, number in zip(cells, columns, strict=True)
    ]
    view.add_row(Text(title), *marked, Text(n), style=style)


def _cells(line: Line, columns: Sequence[int], encoding: str) -> list[str]:
    """What stands in a line: title, numbers, n."""
    indent = {"published": "  ", "range": "  ", "difference": "    "}.get(line.kind, "")
    indent = "" if line.named else indent
    numbers = [spelled(line.cells[number], encoding) for number in columns]
    return [indent + spelled(line.title, encoding), *numbers, line.n]


def _mark(line: Line, number: int) -> str:
    return "bold" if number in line.best else "underline" if number in line.second else ""
