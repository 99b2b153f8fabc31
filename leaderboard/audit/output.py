"""The audit for a terminal, as CSV and as JSON."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable
from itertools import groupby

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from promptbench.leaderboard.audit.findings import KINDS, Finding
from promptbench.leaderboard.audit.report import Audit, PrintedTable
from promptbench.report import flat
from promptbench.support.prose import counted, say
from promptbench.support.safe_text import spelled, visible

NOTES = (
    "A number printed with two decimals stands for any that is rounded to it; numbers contradict "
    "each other where no true values could have been rounded to all of them. Whoever averaged "
    "rounded numbers is within that.",
    "An average HM may be the HM of the averages, as the protocol has it, or the mean of the "
    "datasets' HMs; each is recognized. A mean of HMs over seeds lies below the HM of the means, "
    "by as much as seeds differ, which tables do not print.",
    "The audit reads numbers as they were copied from their sources and corrects none: a "
    "contradiction may be the paper's, its table's or the copy's.",
)


def show(found: Audit, console: Console) -> None:
    """Print the findings by kind, then what was recomputed."""
    by_kind = sorted(found.findings, key=lambda each: list(KINDS).index(each.kind))
    for kind, same in groupby(by_kind, key=lambda each: each.kind):
        own = list(same)
        say(console, f"{kind} ({len(own)}): {KINDS[kind]}", style="bold")
        for each in own:
            _show(each, console)
    if found.tables:
        console.print(_view(found.tables, console.encoding))
    for note in NOTES if found.findings else ():
        say(console, note, style="dim")


def _show(each: Finding, console: Console) -> None:
    say(console, visible(f"  {each.protocol}: {each.place}"))
    for text, style in (
        (each.detail, None),
        (each.cause, "green"),
        (f"{each.file}, line {each.line}: {each.source}", "dim"),
        (f"note: {each.note}" if each.note else "", "dim"),
    ):
        if text:
            say(console, visible(f"    {text}"), style=style)


def _view(tables: Iterable[PrintedTable], encoding: str) -> Table:
    """What was recomputed, one line per protocol."""
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    view.add_column("protocol", overflow="fold")
    for heading in ("tables", "rows", "numbers", "recomputed", "cannot be"):
        view.add_column(heading, justify="right")
    for protocol, same in groupby(tables, key=lambda table: table.protocol):
        own = list(same)
        sums = [
            len(own),
            *(
                sum(getattr(table, name) for table in own)
                for name in ("rows", "numbers", "recomputed", "left")
            ),
        ]
        view.add_row(Text(spelled(protocol, encoding)), *map(str, sums))
    return view


def summary(found: Audit) -> str:
    """The counts in one line."""
    numbers = sum(table.numbers for table in found.tables)
    recomputed = sum(table.recomputed for table in found.tables)
    kinds = ", ".join(f"{count} {kind}" for kind, count in found.counts().items())
    told = f"{counted(len(found.findings), 'finding')}{f' ({kinds})' if kinds else ''}"
    return (
        f"{told} in {counted(len(found.tables), 'table')} of {counted(numbers, 'number')}, "
        f"{recomputed} of them recomputed"
    )


FIELDS = tuple(field.name for field in dataclasses.fields(Finding))


def as_csv(found: Audit) -> str:
    """The findings, one per line; no text is a formula to a spreadsheet."""
    out = io.StringIO()
    rows = csv.DictWriter(out, FIELDS, lineterminator="\n")
    rows.writeheader()
    for each in found.findings:
        facts = dataclasses.asdict(each)
        rows.writerow({name: flat.safe(_short(value)) for name, value in facts.items()})
    return out.getvalue()


def as_json(found: Audit) -> str:
    """The findings, and all tables with what was recomputed."""
    facts = {
        "findings": [_plain(each) for each in found.findings],
        "tables": [_plain(table) for table in found.tables],
    }
    return json.dumps(facts, indent=1, ensure_ascii=False) + "\n"


def _plain(each: Finding | PrintedTable) -> dict[str, object]:
    facts = {name: _short(value) for name, value in dataclasses.asdict(each).items()}
    if "over" in facts and isinstance(each, PrintedTable):
        facts["over"] = {str(datasets): averages for datasets, averages in each.over}
    return facts


def _short(value: object) -> object:
    """Ends of intervals to the precision that means something."""
    return round(value, 6) if isinstance(value, float) else value


FORMATS = {"csv": as_csv, "json": as_json}
