"""From records to a table: which rows it has, in which order, who leads, what is to be noted."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial

from promptbench.protocol import Column, Leg, Protocol
from promptbench.records import Record
from promptbench.report import published
from promptbench.report import rows as rows_of
from promptbench.report.gather import Variant, weights_called
from promptbench.report.naming import RowKey, Titles, key_of
from promptbench.report.table import PARADIGMS, Heading, Row, Table
from promptbench.safe_text import printable
from promptbench.statistics import ENOUGH_SEEDS
from promptbench.suites import Suite


def build(
    records: Sequence[Record],
    name: str,
    protocol: Protocol,
    legs: Sequence[Leg],
    suite: Suite,
    printed: Sequence[str] = (),
    titles: Titles | None = None,
    among: Sequence[Record] = (),
) -> Table:
    """The table of records that may stand together (see `gather`) over `legs`.

    `printed` names methods whose published numbers are shown even if there is no record of them;
    the published numbers of methods with records are always there, if the suite is comparable.
    Rows that `titles` name stand under these, in their order; notes say what they are. `among` are
    the records of all tables, whose weights the title tells apart.
    """
    columns = [column for column in protocol.columns(legs) if not _repeats(column)]
    backbone = records[0].backbone.name if records else suite.backbone
    shifted = any(target.shift != "none" for leg in legs for target in leg.targets)
    entries = rows_of.with_records(records, columns, shifted)
    if suite.comparable:
        entries |= _not_run(entries, name, printed, backbone, columns, shifted)
    rows: list[Row] = []
    renamed: list[str] = []
    given = titles or {}
    places = {key: place for place, key in enumerate(given)}
    for variant, ours in sorted(_with_lead(entries).items(), key=partial(_order, places)):
        title = printable(given.get(key_of(variant[0], variant[3]), ours.title))
        if title != ours.title:
            renamed.append(f"{title}: {ours.title}")
        rows.append(dataclasses.replace(ours, title=title))
        if suite.comparable and variant[2:] == ("paper", (), 0):
            rows += rows_of.published_beside(name, variant, ours, backbone, columns)
    headings = [Heading(c.group, c.title, c.shots, bool(c.members)) for c in columns]
    return Table(
        title=printable(_title(records, protocol, legs, suite, among or records)),
        protocol=name,
        headings=tuple(
            dataclasses.replace(h, group=printable(h.group), title=printable(h.title))
            for h in headings
        ),
        rows=tuple(rows),
        banner=suite.banner,
        notes=(*_notes(rows, records), *renamed),
    )


def _not_run(
    entries: Mapping[Variant, Row],
    protocol: str,
    printed: Sequence[str],
    backbone: str,
    columns: Sequence[Column],
    shifted: bool,
) -> dict[Variant, Row]:
    """Empty rows of our own above published numbers that no record stands beside."""
    found: dict[Variant, Row] = {}
    for method in dict.fromkeys([*(variant[0] for variant in entries), *printed]):
        for inference in published.inferences(protocol, method):
            usual: Variant = (method, inference, "paper", (), 0)
            known = usual in entries
            if not known and published.rows(protocol, method, inference, backbone, columns):
                found[usual] = rows_of.not_run(method, inference, len(columns), shifted)
    return found


def _repeats(column: Column) -> bool:
    """Whether a column averages one data set, and is not the suite's own average."""
    return len(column.members) == 1 and column.published is None


def _title(
    records: Sequence[Record],
    protocol: Protocol,
    legs: Sequence[Leg],
    suite: Suite,
    among: Sequence[Record],
) -> str:
    if records:
        first = records[0]
        version, precision = first.protocol.version, first.environment.precision
        weights = weights_called(first, among)
        backbone = f"{first.backbone.name} ({weights}, {precision})"
    else:
        version = protocol.version
        backbone = f"{suite.backbone} ({suite.weights})"
    shots = ", ".join(str(count) for count in sorted({leg.source.shots for leg in legs}))
    return (
        f"{protocol.title} (v{version}), suite {suite.name}, {backbone}, "
        f"{shots} {'shot' if shots == '1' else 'shots'}, accuracy in %"
    )


def _order(
    places: Mapping[RowKey, int], item: tuple[Variant, Row]
) -> tuple[int, str, int, int, Variant]:
    """Paradigms in the papers' order, methods in the order of their publication, named rows in
    their own."""
    variant, row = item
    known = list(published.methods())
    first = PARADIGMS.index(row.paradigm) if row.paradigm in PARADIGMS else len(PARADIGMS)
    second = known.index(variant[0]) if variant[0] in known else len(known)
    third = places.get(key_of(variant[0], variant[3]), len(places))
    return (first, row.paradigm, second, third, variant)


def _with_lead(rows: dict[Variant, Row]) -> dict[Variant, Row]:
    """Mark the columns in which a row's interval lies above that of every other row.

    Rows that use split knowledge or score a part of the images do not compete; where a
    competitor has no interval (one seed), nobody leads.
    """
    competing = {v: r for v, r in rows.items() if not r.uses_split and not v[4]}
    best: dict[Variant, set[int]] = defaultdict(set)
    for number in range(max((len(row.entries) for row in rows.values()), default=0)):
        present = {v: e for v, r in competing.items() if (e := r.entries[number]) is not None}
        intervals = {v: e.interval for v, e in present.items()}
        if len(present) < 2 or any(interval is None for interval in intervals.values()):
            continue
        leader = max(present, key=lambda v: present[v].mean)
        floor = (intervals[leader] or (0.0, 0.0))[0]
        others = [interval[1] for v, interval in intervals.items() if interval and v != leader]
        if floor > max(others):
            best[leader].add(number)
    return {v: dataclasses.replace(r, best=frozenset(best[v])) for v, r in rows.items()}


def _notes(rows: Sequence[Row], records: Sequence[Record]) -> tuple[str, ...]:
    own = [row for row in rows if row.kind == "ours"]
    entries = [entry for row in own for entry in row.entries if entry is not None]
    notes = []
    if any(entry.half_width is not None for entry in entries):
        notes.append("± is the half width of the 95% t interval over seeds; n counts seeds")
    if any(entry.n < ENOUGH_SEEDS for entry in entries):
        notes.append(f"† fewer than {ENOUGH_SEEDS} seeds: differences between rows may be chance")
    if any(row.best for row in own):
        notes.append("bold: the interval lies above that of every other row")
    if any(row.uses_split for row in rows):
        notes.append(
            "grey: decoupled inference knows at test time which classes were learnt; never bold"
        )
    if any(entry is None for row in own for entry in row.entries):
        notes.append("—: not run, or incomplete; incomplete rows have no average")
    if any(row.differences and any(d is not None for d in row.differences) for row in rows):
        notes.append("difference: ours minus published")
    if any(r.limit is not None for r in records):
        notes.append("rows with a limit score a part of each test set")
    return tuple(notes)
