"""A sweep as a table of texts, for every format."""

from __future__ import annotations

from typing import Any

from promptbench.report.grid import Grid, GridRow
from promptbench.report.sweeps.sweep import Point, SweepTable
from promptbench.report.text import NOTHING, few, figure, spread_notes
from promptbench.statistics import ENOUGH_SEEDS

BEST = "*"
VALIDATION = "validation"


def grid(table: SweepTable) -> Grid:
    """One sweep as texts and as values: the settings, validation accuracy, then the columns."""
    validated = any(point.validation is not None for point in table.points)
    own = [name.rpartition(".")[2] for name in table.settings]
    columns = [
        short if own.count(short) == 1 else name
        for short, name in zip(own, table.settings, strict=True)
    ]
    columns += [VALIDATION] if validated else []
    return Grid(
        title=table.title,
        columns=(*columns, *table.labels, "n"),
        rows=tuple(
            GridRow(
                f"{point.title} {BEST}" if point.best else point.title,
                _cells(point, table, validated),
                _facts(point, table),
                point.muted,
            )
            for point in table.points
        ),
        facts={"table": table.title, "protocol": table.protocol, "metric": table.metric.name},
        banner=table.banner,
        notes=_notes(table),
        keys=len(table.settings),
    )


def _cells(point: Point, table: SweepTable, validated: bool) -> tuple[str, ...]:
    seen = () if not validated else (_percent(point.validation),)
    entries = (figure(entry, table.metric.decimals) for entry in point.entries)
    return (*(value or NOTHING for value in point.values), *seen, *entries, str(point.n))


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"


def _facts(point: Point, table: SweepTable) -> dict[str, Any]:
    values = zip(table.settings, point.values, strict=True)
    means = (None if entry is None else entry.mean for entry in point.entries)
    return {
        "method": point.title,
        **dict(values),
        "validation": point.validation,
        "best_by_validation": point.best,
        **dict(zip(table.labels, means, strict=True)),
        "seeds": point.n,
    }


def _notes(table: SweepTable) -> tuple[str, ...]:
    entries = [e for point in table.points for e in point.entries if e is not None]
    notes = [choice_note(table), *spread_notes(entries, table.metric.values)]
    if any(map(few, entries)):
        notes.append(f"† fewer than {ENOUGH_SEEDS} seeds: differences between rows may be chance")
    return tuple(notes)


def choice_note(table: SweepTable) -> str:
    """What is said of the best combination: by which accuracy, or that none is chosen."""
    if any(point.best for point in table.points):
        return (
            f"{BEST} the best combination of a method by mean validation accuracy, the first of "
            "equals; test accuracy plays no part"
        )
    return (
        "no combination is chosen: not all of these records hold a validation accuracy (--select "
        "validation), and test accuracy is not for choosing"
    )
