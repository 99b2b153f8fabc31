"""The values of every seed, one line each, with all that distinguishes records in columns.

What a table sums up as a mean with an interval is here as it was measured, for statistics of one's
own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from promptbench import mixing
from promptbench.core.metric import Metric
from promptbench.records import Record
from promptbench.records.scores import Scorer
from promptbench.report import assemble
from promptbench.report.grid import Grid, GridRow
from promptbench.report.table import Row, Table
from promptbench.support.safe_text import printable

_COLUMNS = ("group", "column", "shots", "seed", "value")


def of_seeds(records: Sequence[Record], scorer: Scorer) -> list[Grid]:
    """Return a grid for each group of records that may stand together, with a line for each row,
    column and seed, in the metric of the `scorer`.

    An average has a value of a seed only where the row has one: over all its datasets.
    """
    found = []
    for group in mixing.tables(records):
        (table,) = assemble.of_records(group, scorer=scorer, among=records)
        found.append(_grid(table, mixing.latest(group), scorer.metric))
    return found


def _grid(table: Table, records: Sequence[Record], metric: Metric) -> Grid:
    own, first = mixing.rows(records), records[0]
    return Grid(
        title=f"{table.title}, seed by seed",
        columns=_COLUMNS,
        rows=tuple(
            line
            for row in table.rows
            if row.kind == "ours" and row.variant in own
            for line in _lines(row, table, own[row.variant][0])
        ),
        facts={
            "protocol": table.protocol,
            "suite": first.suite,
            "backbone": printable(first.backbone.name),
            "weights": printable(first.backbone.weights),
            "precision": first.environment.precision,
            "metric": metric.name,
        },
        banner=table.banner,
    )


def _lines(row: Row, table: Table, record: Record) -> Iterator[GridRow]:
    facts = {
        "method": record.method.name,
        "title": row.title,
        "preset": printable(record.preset),
        "overrides": printable("; ".join(record.overrides)),
        "inference": record.inference,
        "selection": printable(record.protocol.selection),
        "limit": record.limit,
    }
    for heading, entry in zip(table.headings, row.entries, strict=True):
        for seed, value in sorted(entry.by_seed if entry else ()):
            place = (heading.group, heading.title, heading.shots, seed)
            shown = (*map(str, place), table.metric.text(value))
            named = dict(zip(_COLUMNS, (*place, value), strict=True))
            yield GridRow(row.title, shown, {**facts, **named}, muted=row.uses_split)
