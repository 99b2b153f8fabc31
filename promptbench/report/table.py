"""A result table as plain data: methods as rows, the protocol's columns, published numbers too."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from promptbench.protocol import Column, Leg, Protocol, ScoreKey
from promptbench.records import Record
from promptbench.report import published
from promptbench.report.gather import Variant, variant_of
from promptbench.report.naming import RowKey, Titles, key_of
from promptbench.safe_text import printable
from promptbench.statistics import ENOUGH_SEEDS, Estimate, estimate
from promptbench.suites import Suite

PARADIGMS = ("zero-shot", "end-to-end", "decoupled", "coupled")


@dataclass(frozen=True)
class Heading:
    """A column: its group (a data set, a kind of target, a number of shots), its own title, the
    shots behind it, and whether it sums up others."""

    group: str
    title: str
    shots: int
    summary: bool


@dataclass(frozen=True)
class Row:
    """A line of our own numbers, or of one source's.

    `entries` has one estimate per column, None where it is incomplete or not printed; published
    ones have no interval and n = 0. `differences` is ours minus published. `best` are the columns
    in which the row leads by more than chance. `uses_split`: decoupled inference. `variant` says
    which records, or which method's usual settings, the row stands for.
    """

    title: str
    paradigm: str
    kind: Literal["ours", "published"]
    entries: tuple[Estimate | None, ...]
    n: int = 0
    uses_split: bool = False
    best: frozenset[int] = frozenset()
    differences: tuple[float | None, ...] = ()
    source: str = ""
    origin: str = ""
    note: str = ""
    variant: Variant | None = None


@dataclass(frozen=True)
class Table:
    """A result table; `notes` belong under it, `banner` above it."""

    title: str
    protocol: str
    headings: tuple[Heading, ...]
    rows: tuple[Row, ...]
    banner: str = ""
    notes: tuple[str, ...] = ()

    def sections(self) -> list[tuple[str, list[Row]]]:
        """The rows by paradigm, in the table's order."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.paradigm, []).append(row)
        return list(found.items())

    def sources(self) -> dict[tuple[str, str, str], int]:
        """(source, origin, note) of the published rows, numbered from 1."""
        cited = [(r.source, r.origin, r.note) for r in self.rows if r.kind == "published"]
        return {source: number for number, source in enumerate(dict.fromkeys(cited), 1)}


def build(
    records: Sequence[Record],
    name: str,
    protocol: Protocol,
    legs: Sequence[Leg],
    suite: Suite,
    printed: Sequence[str] = (),
    titles: Titles | None = None,
) -> Table:
    """The table of records that may stand together (see `gather`) over `legs`.

    `printed` names methods whose published numbers are shown even if there is no record of them;
    the published numbers of methods with records are always there, if the suite is comparable.
    Rows that `titles` name stand under these, in their order; notes say what they are.
    """
    columns = protocol.columns(legs)
    backbone = records[0].backbone.name if records else suite.backbone
    shifted = any(target.shift != "none" for leg in legs for target in leg.targets)
    entries = _with_records(records, columns, shifted)
    if suite.comparable:
        named = dict.fromkeys([*(variant[0] for variant in entries), *printed])
        for method in named:
            for inference in published.inferences(name, method):
                usual: Variant = (method, inference, "paper", (), 0)
                if usual not in entries and published.rows(
                    name, method, inference, backbone, columns
                ):
                    entries[usual] = _not_run(method, inference, len(columns), shifted)
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
            rows += _published(name, variant, ours, backbone, columns)
    headings = [Heading(c.group, c.title, c.shots, bool(c.members)) for c in columns]
    return Table(
        title=printable(_title(records, protocol, legs, suite)),
        protocol=name,
        headings=tuple(
            dataclasses.replace(h, group=printable(h.group), title=printable(h.title))
            for h in headings
        ),
        rows=tuple(rows),
        banner=suite.banner,
        notes=(*_notes(rows, records), *renamed),
    )


def _title(records: Sequence[Record], protocol: Protocol, legs: Sequence[Leg], suite: Suite) -> str:
    if records:
        first = records[0]
        version, precision = first.protocol.version, first.environment.precision
        backbone = f"{first.backbone.name} ({first.backbone.weights}, {precision})"
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


# --- our own rows -------------------------------------------------------------------------------


def _with_records(
    records: Sequence[Record], columns: Sequence[Column], shifted: bool
) -> dict[Variant, Row]:
    by_variant: dict[Variant, list[Record]] = defaultdict(list)
    for record in records:
        by_variant[variant_of(record)].append(record)
    return {v: _row(found, columns, shifted) for v, found in by_variant.items()}


def _row(records: Sequence[Record], columns: Sequence[Column], shifted: bool) -> Row:
    scores = scores_by_seed(records)
    return Row(
        title=printable(row_title(records[0], shifted)),
        paradigm=printable(records[0].method.paradigm),
        kind="ours",
        entries=tuple(_entry(column, list(scores.values())) for column in columns),
        n=len(scores),
        uses_split=records[0].inference == "decoupled",
        variant=variant_of(records[0]),
    )


def scores_by_seed(records: Sequence[Record]) -> dict[int, dict[ScoreKey, float]]:
    """All scores of each seed; of several records of a cell, the last one counts."""
    found: dict[int, dict[ScoreKey, float]] = defaultdict(dict)
    for record in records:
        found[record.seed].update(record.scores)
    return dict(found)


def _entry(column: Column, seeds: Sequence[dict[ScoreKey, float]]) -> Estimate | None:
    """The column of mean scores, with the interval of each seed's value.

    A column that sums up others has no value as soon as one seed lacks one of them.
    """
    complete = [scores for scores in seeds if column.value(scores) is not None]
    if not complete or (column.members and len(complete) < len(seeds)):
        return None
    shared = set.intersection(*(set(scores) for scores in complete))
    means = {key: sum(scores[key] for scores in complete) / len(complete) for key in shared}
    center = column.value(means)
    samples = [value for scores in complete if (value := column.value(scores)) is not None]
    return None if center is None else estimate(center, samples)


def row_title(record: Record, shifted: bool = True) -> str:
    """The method's title with its marks: inference, preset, changed settings, limit.

    `shifted`: the table has targets on which the two inference rules of a method differ.
    """
    info = record.method
    marks = [f"preset {record.preset}"] if record.preset != "paper" else []
    marks += [*record.overrides, *record.data_marks]
    if record.limit is not None:
        marks.append(f"first {record.limit} images")
    return _title_of(info.title, info.paradigm, record.inference, shifted, marks)


def _title_of(
    title: str, paradigm: str, inference: str, shifted: bool, marks: Sequence[str] = ()
) -> str:
    if inference == "decoupled":
        marks = ["decoupled inference", *marks]
    elif paradigm == "decoupled" and shifted:
        title += " w/o decoupling"
    return title + (f" ({'; '.join(marks)})" if marks else "")


def _not_run(method: str, inference: str, n_columns: int, shifted: bool) -> Row:
    info = published.methods()[method]
    return Row(
        title=_title_of(info.title, info.paradigm, inference, shifted),
        paradigm=info.paradigm,
        kind="ours",
        entries=(None,) * n_columns,
        uses_split=inference == "decoupled",
        variant=(method, inference, "paper", (), 0),
    )


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


# --- published rows -----------------------------------------------------------------------------


def _published(
    protocol: str, variant: Variant, ours: Row, backbone: str, columns: Sequence[Column]
) -> list[Row]:
    found = published.rows(protocol, variant[0], variant[1], backbone, columns)
    return [
        Row(
            title=ours.title,
            paradigm=ours.paradigm,
            kind="published",
            entries=tuple(None if v is None else Estimate(v, None, 0) for v in row.values),
            uses_split=ours.uses_split,
            differences=tuple(
                None if own is None or value is None else own.mean - value
                for own, value in zip(ours.entries, row.values, strict=True)
            ),
            source=row.source,
            origin=row.origin,
            note=row.note,
            variant=variant,
        )
        for row in found
    ]


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
