"""The summary of the field in the terminal: each method beside what learned nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from promptbench.analysis.correlation import CORRELATED
from promptbench.analysis.field import HALVES, REFERENCES, beside
from promptbench.analysis.rows import Row, average, select
from promptbench.prose import say
from promptbench.report.text import NOTHING, spread, spread_notes
from promptbench.safe_text import spelled
from promptbench.scores import DEFAULT, load
from promptbench.statistics import Estimate

_PART = "cls/unit"
_DIRECTION = {
    "cos of\nmeans": "mean_cosine",
    "new to\nbase": "new_to_base",
    "base to\nbase": "base_to_base",
    "cohe-\nrence": "base_coherence",
    "\nnew": "new_coherence",
}
_VARIANCE = {
    "magni-\ntude": "base_magnitude",
    "new /\nbase": "magnitude_ratio",
    "new in\nbase's 5": "shared_new",
    "its own": "own_new",
    "sub-\nspace": "subspace",
}
NOTES = (
    "Δ of unit CLS features; below each method what learned nothing gives, and a ceiling",
    "from, to: ends of 95% intervals over images (bootstrap), mean over runs",
    "base to base: to the mean of the other images; coherence: ‖mean Δ‖ / mean ‖Δ‖; in 5: share of "
    "variance in the top 5 directions, its own from the other half of its images",
)


def show(
    rows: Sequence[Row], titles: Sequence[str], across: Sequence[Row], console: Console
) -> None:
    """Print the averaged `rows` of all methods, and the rank correlations `across` runs."""
    shown: list[Estimate] = []
    for columns in (_DIRECTION, _VARIANCE):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("method", overflow="fold", min_width=12)
        for heading in columns:
            table.add_column(heading, justify="right", no_wrap=True)
        if columns is _VARIANCE:
            table.add_column(f"{DEFAULT}\nnew", justify="right", no_wrap=True)
        for title in titles:
            shown += _method(table, title, select(rows, title=title), columns, console)
        console.print(table)
    for note in (*NOTES, *spread_notes(shown, load().values)):
        say(console, note, "dim")
    _correlations(across, console)


def spoken(found: Estimate | None) -> str:
    """A mean over its spread, in two lines."""
    if found is None:
        return NOTHING
    return "\n".join(filter(None, (f"{found.mean:.2f}", spread(found))))


def _method(
    table: Table, title: str, rows: list[Row], columns: dict[str, str], console: Console
) -> list[Estimate]:
    """A method's lines: its own numbers, their intervals over images, and the references."""

    def line(name: str, cells: Sequence[str], style: str = "dim", last: bool = False) -> None:
        texts = (spelled(cell, console.encoding) for cell in cells)
        table.add_row(Text(spelled(name, console.encoding)), *texts, style=style, end_section=last)

    own = [_mean(rows, _PART, quantity) for quantity in columns.values()]
    accuracy = average(select(rows, quantity=DEFAULT, target="new"))
    line(title, [spoken(number) for number in (*own, accuracy)][: len(table.columns) - 1], "")
    for name, end in (("from", "low"), ("to", "high")):
        line(f"  {name}", [_short(_mean(rows, _PART, f"{q}_{end}")) for q in columns.values()])
    for reference, name in REFERENCES.items():
        part = beside(_PART, reference)
        cells = [_short(_mean(rows, part, quantity)) for quantity in columns.values()]
        line(f"  {name}", cells, last=reference == HALVES)
    return [number for number in (*own, accuracy) if number is not None]


def _mean(rows: list[Row], part: str, quantity: str) -> Estimate | None:
    found = select(rows, part=part, quantity=quantity)
    return average([row for row in found if not math.isnan(row.value)])


def _short(found: Estimate | None) -> str:
    return NOTHING if found is None else f"{found.mean:.2f}"


def _correlations(rows: Sequence[Row], console: Console) -> None:
    here = select(rows, part=_PART)
    if not here:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    datasets = list(dict.fromkeys(row.dataset for row in here))
    table.add_column(f"rank correlation\nwith {DEFAULT}, new")
    for heading in (*(f"\n{name}" for name in datasets), "\nmean"):
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for measure in CORRELATED:
        of_measure = select(here, item=measure)
        cells = [_correlation(select(of_measure, dataset=dataset)) for dataset in datasets]
        mean = average(select(of_measure, quantity="spearman"))
        table.add_row(measure, *cells, f"{mean.mean:+.2f}" if mean else NOTHING)
    console.print(table)
    say(console, f"Spearman over the runs of one dataset ({_counts(here)}); {_test(here)}", "dim")


def _counts(rows: list[Row]) -> str:
    counts = [
        " or ".join(str(int(n)) for n in sorted({row.value for row in select(rows, quantity=name)}))
        for name in ("n", "methods")
    ]
    return f"n = {counts[0]}, methods: {counts[1]}"


def _test(rows: list[Row]) -> str:
    tests = len(select(rows, quantity="p"))
    if not tests:
        return "no p: permuting whole methods needs 3 of them, with seeds that all have"
    return (
        "p: whole methods permuted (of one method its seeds), since seeds of a method are not "
        f"independent; not corrected for {tests} tests"
    )


def _correlation(rows: list[Row]) -> str:
    values = {row.quantity: row.value for row in rows}
    if "spearman" not in values:
        return NOTHING
    p = f" (p={values['p']:.2f})" if "p" in values else ""
    return f"{values['spearman']:+.2f}{p}"
