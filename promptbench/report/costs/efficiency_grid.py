"""Costs as a table of texts, for every format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from promptbench.core.metric import Metric
from promptbench.report.costs.efficiency import Cost, CostTable, Ends
from promptbench.report.grid import Grid, GridRow
from promptbench.report.text import MIXED, NOTHING, few, figure, spread_notes
from promptbench.statistics import ENOUGH_SEEDS

OTHER_WORK = "°"  # of a row whose times are not of the same work as those of the others

NOTES = (
    "seconds: means over seeds and over what is learned from, as they were measured, whatever else "
    "the device did at the time; never to be compared with those of another table",
    "images per second: test images scored, from reading them to the predictions on disk, without "
    "the class side; image features that a method leaves alone may come from a cache",
    "peak memory in MiB: what a GPU had allocated during a cell; on a CPU what the whole process "
    "had taken up to its end, earlier cells included, an upper bound",
    "text side: class names per training and per scored target, and the seconds per scored target "
    "in which what a method needs of them was prepared, once; what it does with names for each "
    "image is among the seconds of images",
)
_UNTIMED = (
    f"{NOTHING} under text: s / target: records that do not hold these seconds; the class side is "
    "among the seconds of their images"
)


def grid(table: CostTable) -> Grid:
    """One device's costs as texts and as values."""
    columns = (
        "learned parameters",
        "epochs",
        "s / epoch",
        "s / training",
        "peak MiB",
        "test images / s",
        f"{table.value_label}{table.metric.in_unit}",
        "text: names learned",
        "text: names scored",
        "text: s / target",
        "n",
    )
    facts = {
        "table": table.title,
        "protocol": table.protocol,
        "suite": table.suite,
        "device": table.device,
        "threads": table.threads,
        "precision": table.precision,
        "shots": table.shots,
        "metric": table.metric.name,
        "value_column": table.value_label,
    }
    return Grid(
        title=f"{table.place}: {table.title}",
        columns=columns,
        rows=tuple(
            GridRow(_title(r), _cells(r, table), _facts(r), r.uses_split) for r in table.rows
        ),
        facts=facts,
        banner=table.banner,
        notes=_notes(table.rows, table.metric),
        folds=True,
    )


def _title(row: Cost) -> str:
    marks = (MIXED if row.mixed else "", "" if row.alike else OTHER_WORK)
    return " ".join(filter(None, (row.title, *marks)))


def _cells(row: Cost, table: CostTable) -> tuple[str, ...]:
    trained = row.training_seconds is not None
    return (
        _between(row.parameters),
        _between(row.epochs) if trained and row.epochs[1] else NOTHING,
        measured(row.epoch_seconds),
        measured(row.training_seconds),
        f"{row.memory_mb:,.0f}",
        measured(row.images_per_second),
        figure(row.value, table.metric.decimals),
        measured(row.names_learned),
        measured(row.names_scored),
        measured(row.class_seconds),
        str(row.seeds),
    )


def measured(value: float | None) -> str:
    """A measured number with three significant digits, whole from 100 on; a dash without one."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(decimals, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text and value == round(value) else text


def _between(ends: Ends) -> str:
    low, high = ends
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def _facts(row: Cost) -> dict[str, Any]:
    value = row.value
    return {
        "method": row.title,
        "paradigm": row.paradigm,
        "uses_split": row.uses_split,
        "parameters_least": row.parameters[0],
        "parameters_most": row.parameters[1],
        "epochs_least": row.epochs[0],
        "epochs_most": row.epochs[1],
        "epoch_seconds": row.epoch_seconds,
        "training_seconds": row.training_seconds,
        "peak_memory_mb": row.memory_mb,
        "images_per_second": row.images_per_second,
        "class_seconds": row.class_seconds,
        "value": None if value is None else value.mean,
        "names_learned": row.names_learned,
        "names_scored": row.names_scored,
        "seeds": row.seeds,
        "sources": row.sources,
        "same_work": row.alike,
        "mixed": "; ".join(row.mixed),
    }


def _notes(rows: Sequence[Cost], metric: Metric) -> tuple[str, ...]:
    notes = list(NOTES)
    if any(row.class_seconds is None for row in rows):
        notes.append(_UNTIMED)
    if any(not row.alike for row in rows):
        notes.append(
            f"{OTHER_WORK} has not learned from and scored all that the others have: its seconds "
            "are not of the same work"
        )
    values = [row.value for row in rows if row.value is not None]
    notes += spread_notes(values, metric.values)
    if any(map(few, values)):
        notes.append(f"† fewer than {ENOUGH_SEEDS} seeds: differences between rows may be chance")
    if any(row.uses_split for row in rows):
        notes.append("grey: decoupled inference knows at test time which classes were learned")
    notes += [f"{MIXED} {row.title}: {'; '.join(row.mixed)}" for row in rows if row.mixed]
    return tuple(notes)
