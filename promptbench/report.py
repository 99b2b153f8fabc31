"""From records to tables: methods as rows, the protocol's columns, published numbers too."""

from __future__ import annotations

import csv
import functools
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from promptbench.protocol import Column, Leg, Protocol, Source, Target
from promptbench.records import Record
from promptbench.statistics import Estimate, estimate


@dataclass(frozen=True)
class Row:
    """A line: what it is, its cells (None: incomplete), and its source if it is published."""

    title: str
    n: int
    cells: tuple[Estimate | None, ...]
    source: str = ""


@dataclass(frozen=True)
class Table:
    """A result table as plain data; `notes` belong under it, `banner` above it."""

    title: str
    columns: tuple[tuple[str, str], ...]  # (group, title)
    rows: tuple[Row, ...]
    banner: str = ""
    notes: tuple[str, ...] = ()


Variant = tuple[str, str, str, tuple[str, ...], int]  # what may not share a row


def build(
    records: Sequence[Record], protocol: Protocol, legs: Sequence[Leg], banner: str = ""
) -> Table:
    """The table of records of one suite, protocol, backbone and number of shots."""
    columns = protocol.columns(legs)
    rows: list[Row] = []
    for _, of_variant in sorted(_by_variant(records).items(), key=_order):
        if of_variant[0].comparable:
            rows += published_rows(of_variant[0], columns)
        rows.append(_row(of_variant, columns))
    first = records[0]
    title = (
        f"{protocol.title} (v{protocol.version}), suite {first.suite}, "
        f"{first.backbone.name} ({first.backbone.weights}, {first.environment.precision}), "
        f"{first.source.shots} shots, accuracy in %"
    )
    return Table(
        title, tuple((c.group, c.title) for c in columns), tuple(rows), banner, _notes(records)
    )


def legs_of(records: Iterable[Record]) -> list[Leg]:
    """The legs that records cover, in the order of their first appearance."""
    legs: dict[Source, dict[Target, None]] = {}
    for record in records:
        s = record.source
        targets = legs.setdefault(Source(s.dataset, s.classes, s.shots), {})  # type: ignore[arg-type]
        for t in record.targets:
            targets[Target(t.dataset, t.classes, t.shift, t.split)] = None  # type: ignore[arg-type]
    return [Leg(source, tuple(targets)) for source, targets in legs.items()]


def _by_variant(records: Iterable[Record]) -> dict[Variant, list[Record]]:
    groups: dict[Variant, list[Record]] = defaultdict(list)
    for record in records:
        groups[variant_of(record)].append(record)
    return dict(groups)


def variant_of(r: Record) -> Variant:
    """Method, preset, inference, changes and limit: records differing here never mix."""
    return (r.method.name, r.preset, r.inference, (*r.overrides, *r.data_marks), r.limit or 0)


_PARADIGMS = ("zero-shot", "end-to-end", "decoupled", "coupled")


def _order(item: tuple[Variant, list[Record]]) -> tuple[int, Variant]:
    variant, of_variant = item
    return (_PARADIGMS.index(of_variant[0].method.paradigm), variant)


def _row(records: Sequence[Record], columns: Sequence[Column]) -> Row:
    """Means over seeds; a column is taken from mean scores, its interval from each seed's value."""
    by_seed: dict[int, dict[tuple[str, str], float]] = defaultdict(dict)
    for record in records:
        by_seed[record.seed].update(record.scores)
    seeds = list(by_seed.values())
    shared = set.intersection(*(set(scores) for scores in seeds))
    means = {key: sum(s[key] for s in seeds) / len(seeds) for key in shared}
    cells: list[Estimate | None] = []
    for column in columns:
        center = column.value(means)
        single = [value for scores in seeds if (value := column.value(scores)) is not None]
        cells.append(None if center is None else estimate(center, single))
    return Row(row_title(records[0]), len(seeds), tuple(cells))


def row_title(record: Record) -> str:
    """The method's title with its marks: decoupled inference, preset, changed settings, limit."""
    marks = []
    if record.inference == "decoupled":
        marks.append("decoupled inference: uses split knowledge")
    if record.preset != "paper":
        marks.append(f"preset {record.preset}")
    marks += [*record.overrides, *record.data_marks]
    if record.limit is not None:
        marks.append(f"first {record.limit} images")
    return record.method.title + (f" ({'; '.join(marks)})" if marks else "")


def _notes(records: Sequence[Record]) -> tuple[str, ...]:
    seeds = {record.seed for record in records}
    notes = []
    if len(seeds) > 1:
        notes.append("± is the half width of the 95% t interval over seeds; n counts seeds")
    if len(seeds) < 3:
        notes.append("fewer than 3 seeds: differences between rows may be chance")
    if any(r.limit is not None for r in records):
        notes.append("rows with a limit score a part of each test set")
    return tuple(notes)


# --- published numbers --------------------------------------------------------------------------


@functools.cache
def published(protocol: str) -> tuple[dict[str, str], ...]:
    """Published numbers of a protocol: method, dataset, split, value, shots, inference, source."""
    path = Path(str(resources.files("promptbench.leaderboard"))) / "published" / f"{protocol}.csv"
    if not path.is_file():
        return ()
    return tuple(csv.DictReader(io.StringIO(path.read_text())))


def published_rows(record: Record, columns: Sequence[Column]) -> list[Row]:
    """One row per source that prints this method under this protocol, shots and inference."""
    inferences = {record.inference, "n/a"}
    by_source: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
    for line in published(record.protocol.name):
        same_method = line["method"] == record.method.name and line["inference"] in inferences
        if same_method and line["shots"] in (str(record.source.shots), "0"):
            by_source[line["source"]][line["dataset"], line["split"]] = float(line["value"])
    rows = []
    for source, values in by_source.items():
        cells = tuple(
            Estimate(values[c.published], None, 0) if c.published in values else None
            for c in columns
        )
        if any(cells):
            rows.append(Row(f"{record.method.title}, published", 0, cells, source))
    return rows


# --- gathering ----------------------------------------------------------------------------------


def groups(records: Iterable[Record]) -> list[list[Record]]:
    """Records that may share a table: one suite, protocol version, backbone, weights and shots."""
    found: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for r in records:
        key = (
            r.suite,
            r.protocol.name,
            r.protocol.version,
            r.backbone.name,
            r.backbone.sha256,
            r.source.shots,
            r.environment.precision,
        )
        found[key].append(r)
    return list(found.values())


def latest(records: Iterable[Record]) -> list[Record]:
    """Of a group's records with the same variant, source and seed, the one made last."""
    newest: dict[tuple[Any, ...], Record] = {}
    for r in sorted(records, key=lambda record: record.created):
        key = (*variant_of(r), r.source.dataset, r.source.classes, r.seed)
        newest[key] = r
    return list(newest.values())
