"""For the terminal: as many columns side by side as its width allows, averages first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TypeVar

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
_Shown = TypeVar("_Shown", Table, Grid)
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
            for table, banner in _one_after_another(tables, console):
                show(table, console, whole, banner)
        return shown.get()

    def render_grids(self, grids: Sequence[Grid]) -> str:
        """Return the grids as a terminal shows them; columns that do not fit follow below."""
        console = Console()
        with console.capture() as shown:
            for grid, banner in _one_after_another(grids, console):
                _show_grid(grid, console, banner)
        return shown.get()


def _one_after_another(shown: Sequence[_Shown], console: Console) -> Iterator[tuple[_Shown, str]]:
    """Each with its banner, which stands once above all in a row that share it."""
    last = ""
    for number, each in enumerate(shown):
        if number:
            console.print()
        yield each, each.banner if each.banner != last else ""
        last = each.banner


def _headed_by(banner: str, title: str, console: Console) -> None:
    if banner:
        say(console, banner, style="yellow")
    say(console, title, style="bold")


def _show_grid(grid: Grid, console: Console, banner: str) -> None:
    _headed_by(banner, grid.title, console)
    columns = list(range(len(grid.columns)))
    whole = _grid(grid, columns, _TITLE_WIDTH, console.encoding)
    same = _same_in_all(grid) if grid.folds and not _fits(whole, console) else []
    width, parts = _grid_parts(grid, [n for n in columns if n not in same], console)
    for part in parts:
        console.print(_grid(grid, part, width, console.encoding))
    if same:
        said = (f"{grid.columns[n]} {grid.rows[0].cells[n]}" for n in same)
        say(console, spelled(f"the same in every row: {'; '.join(said)}", console.encoding))
    for note in grid.notes:
        say(console, note, style="dim")


def _same_in_all(grid: Grid) -> list[int]:
    """The columns, by number, in which all of several rows agree; none if all columns are so."""
    same = [
        number
        for number in range(len(grid.columns))
        if len(grid.rows) > 1 and len({row.cells[number] for row in grid.rows}) == 1
    ]
    return same if len(same) < len(grid.columns) else []


def _grid_parts(
    grid: Grid, columns: Sequence[int], console: Console
) -> tuple[int, list[list[int]]]:
    """The columns side by side, as many as fit, and the room for titles: the narrow one if that
    saves a part. Before each part stand those that tell rows apart, if they leave room for any
    other."""

    def fits(numbers: Sequence[int], width: int) -> bool:
        return _fits(_grid(grid, numbers, width, console.encoding), console)

    def parts(keys: list[int], width: int) -> list[list[int]]:
        found = [[*keys]]
        for number in columns[len(keys) :]:
            if found[-1] != keys and not fits([*found[-1], number], width):
                found.append([*keys])
            found[-1].append(number)
        return found

    for keys in ([number for number in columns if number < grid.keys], []):
        possible = [
            (width, found)
            for width in (_TITLE_WIDTH, _NARROW)
            if (found := parts(keys, width)) and (not keys or all(fits(p, width) for p in found))
        ]
        if possible:
            break
    return min(possible, key=lambda choice: len(choice[1]))


def _grid(grid: Grid, columns: Sequence[int], width: int, encoding: str) -> RichTable:
    view = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    view.add_column(Text(grid.head), max_width=width, overflow="fold")
    for number in columns:
        title = _stacked(grid.columns[number])
        view.add_column(Text(title), justify="right", no_wrap=True)
    for row in grid.rows:
        cells = [Text(spelled(row.cells[number], encoding)) for number in columns]
        style = "bright_black" if row.muted else ""
        view.add_row(Text(spelled(row.title, encoding)), *cells, style=style)
    return view


def _stacked(title: str) -> str:
    """A heading in two lines, the longer of which is as short as can be."""
    words = title.split(" ")
    breaks = [f"{' '.join(words[:n])}\n{' '.join(words[n:])}" for n in range(1, len(words))]
    return min(breaks, key=lambda text: max(map(cell_len, text.split("\n"))), default=title)


def _fits(view: RichTable, console: Console) -> bool:
    unbounded = console.options.update(max_width=10_000)
    return Measurement.get(console, unbounded, view).maximum <= console.width


def show(table: Table, console: Console, whole: bool = False, banner: str = "") -> None:
    """Print a table under a banner, its notes and its sources; `whole`: with every row in every
    column."""
    _headed_by(banner, table.title, console)
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
