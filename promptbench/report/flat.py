"""Tables as plain data, one dictionary per cell: what formats for programs write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from promptbench.core.metric import Metric
from promptbench.report import ranges
from promptbench.report.table import Heading, Row, Table
from promptbench.statistics import Estimate

FIELDS = (
    "table",
    "protocol",
    "method",
    "paradigm",
    "kind",
    "group",
    "column",
    "shots",
    "mean",
    "half_width",
    "low",
    "high",
    "spread",
    "n",
    "difference",
    "best",
    "second",
    "separated",
    "images_low",
    "images_high",
    "uses_split",
    "origin",
    "source",
    "note",
    "mixed",
    "metric",
    "track",
    "slip",
    "datasets",
    "published_low",
    "published_high",
    "settings",
    "selection",
)


def rows(tables: Sequence[Table]) -> Iterator[dict[str, Any]]:
    """Yield every cell of the tables with its row's facts, by the names of `FIELDS`.

    `spread` says what `low` and `high` are: the ends of the 95% t "interval" over seeds, or the
    "range" of only two; or that the number is "fixed", the same in every seed. `images_low` and
    `images_high` are the ends of the 95% sampling interval of the test images. `best`, `second` and
    `separated` are the marks of a table (see `marks`).
    `mixed` names the versions, devices and the like in which the records of a row differ, with
    their seeds. `metric` is the name of the metric whose values these are, in its unit. `track`
    says what a method may learn from (see `tracks`), `slip` how a printed number contradicts the
    others of its source, `datasets` how many an average is over, if that is known; `published_low`
    and `published_high` are the range of what papers print of the cell, beside our own number.
    Rows share marks where they agree in `track`, in one of their `settings` (what these were chosen
    by; empty: nothing is learned, which competes with all) and in `selection`.
    """
    for table in tables:
        for row in table.rows:
            for cell in _cells(table, row):
                own = {"protocol": table.protocol, "metric": table.metric.name}
                yield {"table": table.title, **own, **_facts(row), **cell}


def plain(table: Table) -> dict[str, Any]:
    """Return a table as plain data: its facts, and rows with their cells."""
    rows = [{**_facts(row), "n": row.n, "cells": _cells(table, row)} for row in table.rows]
    return {
        "title": table.title,
        "protocol": table.protocol,
        "metric": _metric(table.metric),
        "banner": table.banner,
        "notes": table.notes,
        "rows": rows,
    }


def _metric(metric: Metric) -> dict[str, Any]:
    return {
        "name": metric.name,
        "title": metric.title,
        "unit": metric.unit,
        "better": metric.better,
    }


def _facts(row: Row) -> dict[str, Any]:
    return {
        "method": row.title,
        "paradigm": row.paradigm,
        "kind": row.kind,
        "uses_split": row.uses_split,
        "origin": row.origin,
        "source": row.source,
        "note": row.note,
        "mixed": "; ".join(row.mixed),
        "track": row.track,
        "settings": " | ".join(row.settings),
        "selection": row.selection,
    }


def _spread(entry: Estimate | None) -> dict[str, Any]:
    """How far a number may be off: the ends of its interval, or of the range of two seeds."""
    low, high = entry.spread or (None, None) if entry else (None, None)
    kind = None
    if entry is not None:
        known = {"interval": entry.half_width, "range": entry.span, "fixed": entry.fixed or None}
        kind = next((name for name, value in known.items() if value is not None), None)
    half_width = entry.half_width if entry else None
    return {"half_width": half_width, "low": low, "high": high, "spread": kind}


def _images(entry: Estimate | None) -> dict[str, Any]:
    """The ends of the 95% interval over test images, which no spread over seeds holds."""
    low, high = entry.images or (None, None) if entry else (None, None)
    return {"images_low": low, "images_high": high}


def _cells(table: Table, row: Row) -> list[dict[str, Any]]:
    differences = row.differences or (None,) * len(table.headings)
    papers = [r for r in table.rows if r.kind == "published" and r.variant == row.variant]
    beside = ranges.of_columns(papers if row.kind == "ours" else [], table.headings)
    return [
        {
            "group": heading.group,
            "column": heading.title,
            "shots": heading.shots,
            "mean": entry.mean if entry else None,
            **_spread(entry),
            "n": entry.n if entry else 0,
            "difference": difference,
            "best": number in row.best,
            "second": number in row.second,
            "separated": number in row.separated,
            **_images(entry),
            "slip": row.slips[number] if row.slips else "",
            "datasets": _over(row, number, heading),
            **_range(beside[number]),
        }
        for number, (heading, entry, difference) in enumerate(
            zip(table.headings, row.entries, differences, strict=True)
        )
        if row.kind == "ours" or entry is not None
    ]


def _over(row: Row, number: int, heading: Heading) -> int | None:
    """How many datasets an average is over, if that is known."""
    if row.kind == "published":
        return row.over[number] if row.over else None
    return len(heading.members) if heading.summary and row.entries[number] is not None else None


def _range(found: ranges.Range | None) -> dict[str, Any]:
    low, high = found or (None, None)
    return {"published_low": low, "published_high": high}


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets an apostrophe before it.

    A carriage return, which the csv module leaves bare, becomes a space: it would end a row.
    """
    if not isinstance(value, str):
        return value
    return ("'" + value if value.startswith(_FORMULA) else value).replace("\r", " ")
