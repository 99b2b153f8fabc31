"""The summary in the terminal: one line per method, what a reader looks for first."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from promptbench.analysis.rows import Number, average, select
from promptbench.report.text import NOTHING, spread, spread_notes
from promptbench.statistics import Estimate
from promptbench.support.prose import say
from promptbench.support.safe_text import spelled

Value = Callable[[list[Number]], Estimate | None]  # of a method's rows
Columns = Mapping[str, Value]  # by heading
_NAMES = 12  # longer names wrap before numbers go to another table


@dataclass(frozen=True)
class SummaryLine:
    """A line of a table: a name, and a cell of each column."""

    name: str
    cells: Sequence[str]
    style: str = ""
    ends_section: bool = False


def show(
    columns: Columns,
    notes: Sequence[str],
    rows: Sequence[Number],
    titles: Sequence[str],
    console: Console,
) -> None:
    """Print the columns of each method's rows, and what they mean."""
    lines, shown = [], []
    for title in titles:
        mine = select(rows, title=title)
        numbers = [value(mine) for value in columns.values()]
        lines.append(SummaryLine(title, [spoken(number) for number in numbers]))
        shown += [number for number in numbers if number is not None]
    show_lines("method", list(columns), lines, console)
    for note in (*notes, *spread_notes(shown, "such numbers")):
        say(console, note, "dim")


def show_lines(
    names: str, headings: Sequence[str], lines: Sequence[SummaryLine], console: Console
) -> None:
    """Print lines below headings; columns for which there is no room go on in another table.

    A column whose heading begins with a line break stays beside the one before it.

    Args:
        names: the heading of the lines' names.
    """
    least = max(_NAMES, *map(len, names.split("\n")))

    def view(columns: Sequence[int], fold: bool = False, **of_names: Any) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column(names, overflow="fold", **of_names)
        for number in columns:
            heading = Text(headings[number])
            table.add_column(heading, justify="right", overflow="fold", no_wrap=not fold)
        for line in lines:
            name, *cells = (spelled(cell, console.encoding) for cell in (line.name, *line.cells))
            shown = (Text(cells[number]) for number in columns)
            table.add_row(Text(name), *shown, style=line.style, end_section=line.ends_section)
        return table

    def fits(columns: Sequence[int]) -> bool:
        unbounded = console.options.update(max_width=10_000)
        needed = Measurement.get(console, unbounded, view(columns, width=least)).maximum
        return needed <= console.width

    for columns in _parts(headings, fits):
        whole = fits(columns)  # else numbers break in a terminal of that few columns
        console.print(view(columns, min_width=least) if whole else view(columns, fold=True))


def _parts(headings: Sequence[str], fits: Callable[[list[int]], bool]) -> list[list[int]]:
    """The columns, by number, of each table; what belongs together stays in one."""
    blocks: list[list[int]] = []
    for number, heading in enumerate(headings):
        if not blocks or not heading.startswith("\n"):
            blocks.append([])
        blocks[-1].append(number)
    found: list[list[int]] = []
    for block in blocks:
        if found and fits([*found[-1], *block]):
            found[-1] += block
        else:
            found.append(block)
    return found


def spoken(found: Estimate | None) -> str:
    """A mean over its spread, in two lines."""
    if found is None:
        return NOTHING
    return "\n".join(filter(None, (f"{found.mean:.2f}", spread(found))))


def mean(**wanted: object) -> Value:
    """The average of the rows with these columns (see `select`), of those that are defined."""
    return lambda rows: average([r for r in select(rows, **wanted) if not math.isnan(r.value)])


def last(**wanted: object) -> Value:
    """The same of the last block."""

    def value(rows: list[Number]) -> Estimate | None:
        blocks = [row.block for row in rows if row.block is not None]
        return mean(block=max(blocks), **wanted)(rows) if blocks else None

    return value
