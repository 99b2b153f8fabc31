"""The summary in the terminal: one line per method, what a reader looks for first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from promptbench.analysis.rows import Number, average, select
from promptbench.records.scores import load
from promptbench.report.text import NOTHING, spread, spread_notes
from promptbench.statistics import Estimate
from promptbench.support.prose import say
from promptbench.support.safe_text import spelled

Value = Callable[[list[Number]], Estimate | None]  # of a method's rows
Columns = Mapping[str, Value]  # by heading


def show(
    columns: Columns,
    notes: Sequence[str],
    rows: Sequence[Number],
    titles: Sequence[str],
    console: Console,
) -> None:
    """Print the columns of each method's rows, and what they mean."""
    table = headed(columns)
    shown = []
    for title in titles:
        mine = select(rows, title=title)
        numbers = [value(mine) for value in columns.values()]
        table.add_row(
            Text(title), *(spelled(spoken(number), console.encoding) for number in numbers)
        )
        shown += [number for number in numbers if number is not None]
    console.print(table)
    for note in (*notes, *spread_notes(shown, load().values)):
        say(console, note, "dim")


def headed(headings: Iterable[str]) -> Table:
    """A table without rows: methods, and a column of numbers for each heading."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", overflow="fold", min_width=12)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


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
