"""From records to a table: which rows it has, in which order, who leads, what is to be noted."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from promptbench import mixing
from promptbench.config.suites import Suite
from promptbench.core.metric import Metric
from promptbench.core.pooling import pooled_columns
from promptbench.core.protocol import Column, Leg, Protocol, without_harmonic_means
from promptbench.core.recipe import warms_up_only
from promptbench.mixing import Variant
from promptbench.mixing.variants import in_order, varying
from promptbench.records import Record
from promptbench.records.scores import Scorer, load
from promptbench.report import published, ranges, tracks
from promptbench.report import rows as rows_of
from promptbench.report import titles as titles_of
from promptbench.report.gather import weights_called
from promptbench.report.marks import marked
from promptbench.report.naming import Titles
from promptbench.report.table import PARADIGMS, Heading, Row, Table
from promptbench.report.text import MIXED, SLIP, few, sampling_notes, spread_notes
from promptbench.statistics import ENOUGH_SEEDS
from promptbench.support.safe_text import printable


def build(
    records: Sequence[Record],
    name: str,
    protocol: Protocol,
    legs: Sequence[Leg],
    suite: Suite,
    printed: Sequence[str] = (),
    titles: Titles | None = None,
    among: Sequence[Record] = (),
    scorer: Scorer | None = None,
    said: rows_of.SaidByRows | None = None,
) -> Table:
    """The table of records that may stand together (see `promptbench.mixing`) over `legs`.

    `printed` names methods whose published numbers are shown even if there is no record of them;
    the published numbers of methods with records are always there, if the suite is comparable.
    Rows that `titles` name stand under these, in their order; notes say what they are. `among` are
    the records of all tables, whose weights the title distinguishes. Values are those of the
    `scorer`'s metric, by default the usual one; `said` is what rows say for those of all metrics.
    """
    scorer = scorer or Scorer(load())
    metric = scorer.metric
    every = [column for column in columns_of(protocol, legs, metric) if not _repeats(column)]
    columns = [column for column in every if column.defined]
    backbone = records[0].backbone.name if records else suite.backbone
    shifted = any(target.shift != "none" for leg in legs for target in leg.targets)
    own = mixing.rows(records)
    absent: dict[Variant, Row] = {}
    if suite.comparable:
        absent = _not_run(own, name, printed, backbone, columns, shifted, metric.name)
    # Beside a method's usual settings, rows say what they have changed.
    shared = titles_of.shared(list(own.values())) if not absent else []
    entries = rows_of.with_records(own, columns, shifted, scorer, shared, said) | absent
    rows: list[Row] = []
    renamed: list[str] = []
    keys = {v: (v.method, tuple(found[0].overrides)) for v, found in own.items()}
    named = _named(own, keys, titles or {})
    places = {v: list(titles or ()).index(keys[v]) for v in named}
    on_one_data = mixing.on_one_data(_whole(own))
    standing, marks = marked(entries, metric, on_one_data)
    for variant, ours in sorted(standing.items(), key=partial(_order, places, _values(own))):
        title = printable(named.get(variant, ours.title))
        if title != ours.title:
            renamed.append(f"{title}: {ours.title}")
        rows.append(dataclasses.replace(ours, title=title))
        if suite.comparable and variant.usual:
            rows += rows_of.published_beside(
                name, variant, ours, backbone, columns, shifted, metric.name
            )
    number = {id(column): i for i, column in enumerate(columns)}
    headings = [
        Heading(
            c.group,
            c.title,
            c.shots,
            bool(c.members),
            tuple(number[id(m)] for m in c.members if id(m) in number),
        )
        for c in columns
    ]
    return Table(
        title=printable(_title(records, protocol, legs, suite, among or records, metric)),
        protocol=name,
        metric=metric,
        headings=tuple(
            dataclasses.replace(h, group=printable(h.group), title=printable(h.title))
            for h in headings
        ),
        rows=tuple(rows),
        banner=suite.banner,
        notes=(
            *_notes(rows, own, marks, metric),
            *undefined_note(every, metric),
            *scorer.remarks(records),
            *_shared_note(shared),
            *renamed,
        ),
        on_one_data=on_one_data,
    )


def columns_of(protocol: Protocol, legs: Sequence[Leg], metric: Metric) -> list[Column]:
    """The columns of a protocol for a metric: what it does not define has no value."""
    columns = protocol.columns(legs)
    if metric.pooled:
        columns = pooled_columns(columns, legs)
    return columns if metric.harmonic else without_harmonic_means(columns, legs)


def undefined_note(columns: Sequence[Column], metric: Metric) -> list[str]:
    """Why columns are not there, where the metric has no harmonic mean."""
    titles = dict.fromkeys(column.title for column in columns if not column.defined)
    if not titles:
        return []
    return [printable(f"no {', '.join(titles)}: no harmonic mean of {metric.short} is defined")]


def _named(
    own: Mapping[Variant, Sequence[Record]],
    keys: Mapping[Variant, tuple[str, tuple[str, ...]]],
    titles: Titles,
) -> dict[Variant, str]:
    """The names that `titles` gives to rows, with what distinguishes several rows of one name."""
    if not titles:
        return {}
    apart = dict(zip(own, mixing.labels(list(own.values())), strict=True))
    found = {}
    for variant, key in keys.items():
        if key in titles:
            labels = f" ({'; '.join(apart[variant])})" if apart[variant] else ""
            found[variant] = titles[key] + labels
    return found


def _shared_note(shared: Sequence[str]) -> list[str]:
    return [printable(f"in every row that has it: {'; '.join(shared)}")] if shared else []


def _not_run(
    entries: Collection[Variant],
    protocol: str,
    printed: Sequence[str],
    backbone: str,
    columns: Sequence[Column],
    shifted: bool,
    metric: str,
) -> dict[Variant, Row]:
    """Empty rows of our own above published numbers that no record stands beside."""
    found: dict[Variant, Row] = {}
    run = {(variant.method, variant.inference) for variant in entries if variant.usual}
    for method in dict.fromkeys([*(variant.method for variant in entries), *printed]):
        for inference in published.inferences(protocol, method, metric):
            usual = Variant(method, inference, "paper", (), 0)
            known = (method, inference) in run
            if not known and published.rows(protocol, method, inference, backbone, columns, metric):
                found[usual] = rows_of.not_run(method, inference, len(columns), shifted)
    return found


def _repeats(column: Column) -> bool:
    """Whether a column averages one dataset, and is not the suite's own average."""
    return len(column.members) == 1 and column.published is None


def _title(
    records: Sequence[Record],
    protocol: Protocol,
    legs: Sequence[Leg],
    suite: Suite,
    among: Sequence[Record],
    metric: Metric,
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
        f"{shots} {'shot' if shots == '1' else 'shots'}, {metric.heading}"
    )


Values = tuple[tuple[float, str], ...]  # of settings, as `in_order` gives them


def _values(own: Mapping[Variant, Sequence[Record]]) -> dict[Variant, Values]:
    """What each row has of the settings that vary among the rows of its method."""
    rows = {variant: titles_of.setups(records) for variant, records in own.items()}
    vary = varying(list(rows.values()))
    return {variant: in_order(row, vary[variant.method]) for variant, row in rows.items()}


def _order(
    names: Mapping[Variant, int], values: Mapping[Variant, Values], item: tuple[Variant, Row]
) -> tuple[int, str, int, int, int, tuple[Any, ...], Values, Variant]:
    """Paradigms in the papers' order, in each of them tracks, methods in the order of their
    publication; named rows in their own order, others by how settings and epochs were chosen and by
    what varies."""
    variant, row = item
    known = list(published.methods())
    first = PARADIGMS.index(row.paradigm) if row.paradigm in PARADIGMS else len(PARADIGMS)
    second = known.index(variant.method) if variant.method in known else len(known)
    third = names.get(variant, len(names))
    track, chosen = tracks.place(row.track), tracks.place_of_row(row)
    own = (variant.method, variant.inference, *chosen)
    return first, row.paradigm, track, second, third, own, values.get(variant, ()), variant


def _whole(own: Mapping[Variant, Sequence[Record]]) -> list[Sequence[Record]]:
    """The records of the rows that score all images."""
    return [found for variant, found in own.items() if not variant.limit]


def _warms_up_only(r: Record) -> bool:
    names = ("epochs", "warmup_epochs", "lr", "warmup_lr")
    recipe = {name: r.training.recipe.get(name) for name in names}  # of others, it may lack some
    known = all(isinstance(value, int | float) for value in recipe.values())
    return r.training.epochs > 0 and known and warms_up_only(recipe)


def _notes(
    rows: Sequence[Row],
    records: Mapping[Variant, Sequence[Record]],
    marks: Sequence[str],
    metric: Metric,
) -> tuple[str, ...]:
    """The notes of a table whose own rows have these records."""
    own = [row for row in rows if row.kind == "ours"]
    entries = [entry for row in own for entry in row.entries if entry is not None]
    notes = [*spread_notes(entries, metric.values), *sampling_notes(entries)]
    if any(few(entry) for entry in entries):
        notes.append(f"† fewer than {ENOUGH_SEEDS} seeds: differences between rows may be chance")
    notes += marks
    if any(row.uses_split for row in rows):
        notes.append(
            "grey: decoupled inference knows at test time which classes were learned; no marks"
        )
    if any(row.paradigm == "selective" for row in rows):
        notes.append(
            "selective: goes by the class name; a learned row for names that were trained on, text "
            "for all others"
        )
    if any(None in row.entries for row in own):
        notes.append(
            "—: not run, or incomplete; incomplete rows have no average, and there is no HM where "
            "base and new have other seeds"
        )
    if any(row.differences and any(d is not None for d in row.differences) for row in rows):
        notes.append("difference: ours minus published")
    notes += ranges.notes(rows)
    if any(any(row.slips) for row in rows):
        notes.append(f"{SLIP} the source contradicts itself; printed as it stands, see the sources")
    warm = {variant for variant, found in records.items() if any(map(_warms_up_only, found))}
    titles = [printable(row.title) for row in own if row.variant in warm]
    if titles:
        notes.append(f"trained at the warm-up rate only, never at Recipe.lr: {'; '.join(titles)}")
    if any(r.limit is not None for found in records.values() for r in found):
        notes.append("rows with a limit score a part of each test set")
    notes += [f"{MIXED} {row.title}: {'; '.join(row.mixed)}" for row in own if row.mixed]
    return tuple(notes)
