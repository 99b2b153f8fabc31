"""Tables as text: rich for the terminal, and Markdown, LaTeX, CSV and JSON for everything else."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Callable, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table as RichTable

from promptbench.report import Row, Table
from promptbench.statistics import Estimate


def figure(value: Estimate | None) -> str:
    """A number with its interval, or a dash where it is incomplete."""
    if value is None:
        return "–"
    interval = "" if value.half_width is None else f" ±{value.half_width:.1f}"
    return f"{value.mean:.2f}{interval}"


def _count(row: Row) -> str:
    return str(row.n) if row.n else ""


def to_rich(table: Table, console: Console) -> None:
    """Print the table: in the papers' layout if it fits, else with methods as columns."""
    if table.banner:
        console.print(table.banner, style="yellow", highlight=False, soft_wrap=True)
    console.print(table.title, style="bold", highlight=False, markup=False, soft_wrap=True)
    wide = _methods_as_rows(table)
    if _natural_width(wide, console) <= console.width:
        console.print(wide)
    else:
        for part in _parts_that_fit(table, console):
            console.print(_methods_as_columns(table, part))
    for note in (*table.notes, *_sources(table)):
        console.print(note, style="dim", highlight=False, markup=False, soft_wrap=True)


def _methods_as_rows(table: Table) -> RichTable:
    view = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    view.add_column("method", no_wrap=True)
    for group, title in table.columns:
        heading = title if group == title else f"{group}\n{title}"
        view.add_column(escape(heading), justify="right", no_wrap=True)
    view.add_column("n", justify="right")
    for row in table.rows:
        cells = [figure(value) for value in row.cells]
        view.add_row(escape(row.title), *cells, _count(row), style="dim" if row.source else "")
    return view


def _natural_width(view: RichTable, console: Console) -> int:
    unbounded = console.options.update(max_width=10_000)
    return Measurement.get(console, unbounded, view).maximum


def _parts_that_fit(table: Table, console: Console) -> list[list[Row]]:
    """The rows in as many tables as the console's width asks for."""
    parts: list[list[Row]] = [[]]
    for row in table.rows:
        wider = _methods_as_columns(table, [*parts[-1], row])
        if parts[-1] and _natural_width(wider, console) > console.width:
            parts.append([])
        parts[-1].append(row)
    return parts


_TITLE_WIDTH = 12  # longer method titles wrap in the head of a column


def _methods_as_columns(table: Table, rows: Sequence[Row]) -> RichTable:
    view = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    view.add_column("")
    view.add_column("")
    for row in rows:
        view.add_column(
            escape(_wrapped(row.title)), justify="right", style="dim" if row.source else ""
        )
    last = None
    for number, (group, title) in enumerate(table.columns):
        if last is not None and group != last:
            view.add_section()
        shown, last = (group if group != last else ""), group
        view.add_row(escape(shown), escape(title), *(figure(row.cells[number]) for row in rows))
    view.add_section()
    view.add_row("n", "", *(_count(row) for row in rows))
    return view


def _wrapped(title: str) -> str:
    return "\n".join(textwrap.wrap(title, _TITLE_WIDTH, break_on_hyphens=False))


def _sources(table: Table) -> list[str]:
    named = dict.fromkeys(f"{row.title}: {row.source}" for row in table.rows if row.source)
    return list(named)


def _grid(table: Table) -> list[list[str]]:
    head = ["method", *(t if g == t else f"{g} {t}" for g, t in table.columns), "n"]
    return [head, *([r.title, *(figure(v) for v in r.cells), _count(r)] for r in table.rows)]


def to_markdown(table: Table) -> str:
    """A GitHub table."""
    lines = [[cell.replace("|", "\\|") for cell in line] for line in _grid(table)]
    lines.insert(1, ["---", *("---:" for _ in lines[0][1:])])
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = "\n".join(f"- {note}" for note in (*table.notes, *_sources(table)))
    banner = f"> {table.banner}\n\n" if table.banner else ""
    return f"**{table.title}**\n\n{banner}{body}\n" + (f"\n{notes}\n" if notes else "")


_LATEX = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "±": r"$\pm$", "–": "--"}


def to_latex(table: Table) -> str:
    """A booktabs table."""
    lines = [" & ".join(_escaped(cell) for cell in line) + r" \\" for line in _grid(table)]
    notes = [
        f"% {note}" for note in (table.banner, table.title, *table.notes, *_sources(table)) if note
    ]
    form = "l" + "r" * (len(table.columns) + 1)
    head = [*notes, rf"\begin{{tabular}}{{{form}}}", r"\toprule", lines[0], r"\midrule"]
    return "\n".join([*head, *lines[1:], r"\bottomrule", r"\end{tabular}"]) + "\n"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def to_csv(table: Table) -> str:
    """One line per row and column: row, column group, column, mean, half width, n, source."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(("method", "group", "column", "mean", "half_width", "n", "source"))
    for row in table.rows:
        for (group, title), value in zip(table.columns, row.cells, strict=True):
            mean, half = (value.mean, value.half_width) if value else ("", "")
            out.writerow(
                (row.title, group, title, mean, half if half is not None else "", row.n, row.source)
            )
    return text.getvalue()


def to_json(table: Table) -> str:
    """The table as plain data."""
    rows = [
        {
            "method": row.title,
            "n": row.n,
            "source": row.source,
            "cells": [
                {"group": g, "column": t, "mean": v and v.mean, "half_width": v and v.half_width}
                for (g, t), v in zip(table.columns, row.cells, strict=True)
            ],
        }
        for row in table.rows
    ]
    facts = {"title": table.title, "banner": table.banner, "notes": table.notes, "rows": rows}
    return json.dumps(facts, indent=1, ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[Table], str]] = {
    "markdown": to_markdown,
    "latex": to_latex,
    "csv": to_csv,
    "json": to_json,
}
