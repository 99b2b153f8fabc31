"""The rows of a table: ours from records, and the papers' beside them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from promptbench import mixing
from promptbench.core.metric import Metric
from promptbench.core.protocol import Column, ScoreKey, Source
from promptbench.mixing import Variant
from promptbench.records import Record
from promptbench.records.scores import Scorer
from promptbench.report import published, tracks
from promptbench.report.table import Row
from promptbench.report.titles import title_of, titles
from promptbench.statistics import NOISE, Ends, Estimate, estimate, propagated, wilson
from promptbench.support.safe_text import printable


class Said(NamedTuple):
    """What the records of a row say whatever the metric is."""

    side: tracks.Side
    drawn: bool
    images: Mapping[ScoreKey, int]
    mixed: tuple[str, ...]
    records: Sequence[Record]  # kept, so that no others get their place in memory


class SaidByRows:
    """What rows say, found once for the tables of all metrics that show them."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], Said] = {}

    def of(self, records: Sequence[Record]) -> Said:
        """What these records say, which are the same objects whenever they are asked for."""
        key = tuple(map(id, records))
        if key not in self._known:
            self._known[key] = Said(
                tracks.side_of(records),
                is_drawn(records),
                images_of(records),
                tuple(map(printable, mixing.marks(records))),
                records,
            )
        return self._known[key]


def with_records(
    by_variant: Mapping[Variant, Sequence[Record]],
    columns: Sequence[Column],
    shifted: bool,
    scorer: Scorer,
    without: Collection[str] = (),
    said: SaidByRows | None = None,
) -> dict[Variant, Row]:
    """The rows of our own records, one per variant; see `titles`."""
    said = said or SaidByRows()
    names = titles(list(by_variant.values()), shifted, without)
    return {
        variant: _row(variant, records, columns, scorer, printable(title), said.of(records))
        for (variant, records), title in zip(by_variant.items(), names, strict=True)
    }


def _row(
    variant: Variant,
    records: Sequence[Record],
    columns: Sequence[Column],
    scorer: Scorer,
    title: str,
    said: Said,
) -> Row:
    side, scores = said.side, scores_by_seed(records, scorer)
    own = [entry(column, scores, said.drawn, said.images, scorer.metric) for column in columns]
    return Row(
        title=title,
        paradigm=printable(records[0].method.paradigm),
        kind="ours",
        entries=tuple(own),
        n=len(scores),
        uses_split=records[0].inference == "decoupled",
        variant=variant,
        mixed=said.mixed,
        track=side.track,
        settings=side.settings,
        selection=printable(side.selection),
    )


def scores_by_seed(records: Sequence[Record], scorer: Scorer) -> dict[int, dict[ScoreKey, float]]:
    """All scores of each seed; of several records of a cell, the last one counts."""
    found: dict[int, dict[ScoreKey, float]] = defaultdict(dict)
    for record in records:
        found[record.seed].update(scorer.score(record).values)
    return dict(found)


def is_drawn(records: Sequence[Record]) -> bool:
    """Whether seeds can change the numbers of a row's records: somewhere they have learned other
    parameters."""
    learned: dict[Source, set[str | None]] = defaultdict(set)
    for r in records:
        learned[r.leg.source].add(r.training.parameters_sha256)
    return any(len(parameters) > 1 for parameters in learned.values())


def images_of(records: Sequence[Record]) -> dict[ScoreKey, int]:
    """How many test images are behind each score; all seeds see the same."""
    found: dict[ScoreKey, int] = {}
    for r in records:
        for target in r.targets:
            key = (r.leg.source.key, r.source.shots, target.key)
            found[key] = min(sum(target.total), found.get(key, sum(target.total)))
    return found


def mean_scores(seeds: Iterable[Mapping[ScoreKey, float]]) -> dict[ScoreKey, float]:
    """The mean of each score over the seeds that have it."""
    by_key: dict[ScoreKey, list[float]] = defaultdict(list)
    for scores in seeds:
        for key, score in scores.items():
            by_key[key].append(score)
    return {key: sum(found) / len(found) for key, found in by_key.items()}


def entry(
    column: Column,
    seeds: Mapping[int, Mapping[ScoreKey, float]],
    drawn: bool,
    images: Mapping[ScoreKey, int],
    metric: Metric,
) -> Estimate | None:
    """The column of mean scores (an HM is one of means), with the spread of each seed's value.

    Values are those of `metric`. A column that sums up others has no value as soon as one seed
    lacks one of them, and an HM none where it would not follow from base and new as they are shown,
    each over seeds of its own.
    """
    values = {s: v for s, scores in seeds.items() if (v := column.value(scores)) is not None}
    if not values or (column.members and len(values) < len(seeds)):
        return None
    shown = mean_scores(seeds.values())
    center, common = column.value(shown), column.value(mean_scores(seeds[s] for s in values))
    if center is None or common is None or abs(center - common) > NOISE:
        return None
    return replace(
        estimate(center, list(values.values()), metric.bounds, drawn),
        by_seed=tuple(values.items()),
        images=_sampling(column, shown, images, metric),
    )


def _sampling(
    column: Column,
    shown: Mapping[ScoreKey, float],
    images: Mapping[ScoreKey, int],
    metric: Metric,
) -> Ends | None:
    """The sampling interval of test images, of a metric whose distribution on them is known."""
    if not metric.binomial:
        return None
    ends = {
        key: wilson(shown[key], count, metric.whole)
        for key, count in images.items()
        if key in shown
    }
    return propagated(column.value, shown, ends)


def not_run(method: str, inference: str, n_columns: int, shifted: bool) -> Row:
    """The empty row of a method that papers print and nobody ran here."""
    info = published.methods()[method]
    return Row(
        title=title_of(info.title, info.paradigm, inference, shifted),
        paradigm=info.paradigm,
        kind="ours",
        entries=(None,) * n_columns,
        uses_split=inference == "decoupled",
        variant=Variant(method, inference, "paper", (), 0),
        track=info.track,
    )


def published_beside(
    protocol: str,
    variant: Variant,
    ours: Row,
    backbone: str,
    columns: Sequence[Column],
    shifted: bool,
    metric: str,
) -> list[Row]:
    """The rows that papers print for a variant, each with the difference of ours to it.

    They are called as papers call them, whatever distinguishes `ours`.
    """
    info = published.methods().get(variant.method)
    title = title_of(info.title, info.paradigm, variant.inference, shifted) if info else ours.title
    found = published.rows(protocol, variant.method, variant.inference, backbone, columns, metric)
    return [
        Row(
            title=title,
            paradigm=ours.paradigm,
            kind="published",
            entries=tuple(None if v is None else Estimate(v, None, 0) for v in row.values),
            uses_split=ours.uses_split,
            differences=tuple(
                None if own is None or value is None or not same else own.mean - value
                for own, value, same in zip(
                    ours.entries, row.values, _over_the_same(columns, row.over), strict=True
                )
            ),
            source=row.source,
            origin=row.origin,
            note=row.note,
            variant=variant,
            track=ours.track,
            slips=row.slips,
            over=row.over,
        )
        for row in found
    ]


def _over_the_same(columns: Sequence[Column], over: Sequence[int | None]) -> list[bool]:
    """Whether each number may be compared: no average over other datasets than ours."""
    return [
        count in (None, len(column.members)) for column, count in zip(columns, over, strict=True)
    ]
