"""Sweeps as tables: the settings that vary are columns, their combinations rows.

Which combination is best is said by validation accuracy, where the records have one. Test accuracy
is shown and chooses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from promptbench import mixing
from promptbench.core.metric import Metric
from promptbench.errors import UserError, near_miss
from promptbench.mixing import Variant
from promptbench.mixing.variants import Setup, in_order
from promptbench.records import Record
from promptbench.records.scores import Scorer
from promptbench.report import assemble
from promptbench.report import titles as titles_of
from promptbench.report.table import Heading, Row, Table
from promptbench.statistics import Estimate

BY_DATASET = "by dataset"  # the value of a setting that a row's records do not have in common


@dataclass(frozen=True)
class Point:
    """A combination of values for one method: a row.

    Args:
        title: the method, with what else distinguishes its rows.
        values: of the swept settings; None of one that the method does not have.
        entries: one estimate per column, None where it is incomplete.
        validation: mean validation accuracy in percent over seeds and sources; None: not known.
        best: whether it is the best of its title by validation accuracy, the earlier of equals.
        muted: whether the method uses what others do not know.
        method: by its name.
    """

    title: str
    values: tuple[str | None, ...]
    entries: tuple[Estimate | None, ...]
    n: int
    validation: float | None = None
    best: bool = False
    muted: bool = False
    method: str = ""


@dataclass(frozen=True)
class SweepTable:
    """The points of one table; `settings` are the swept ones, by which its points are sorted."""

    title: str
    protocol: str
    settings: tuple[str, ...]
    headings: tuple[Heading, ...]
    points: tuple[Point, ...]
    metric: Metric
    banner: str = ""

    @property
    def labels(self) -> list[str]:
        """What the columns are called: "counts base"."""
        words = [dict.fromkeys((heading.group, heading.title)) for heading in self.headings]
        return [" ".join(word for word in each if word) for each in words]

    @property
    def main(self) -> int:
        """The column that a figure shows: the last average, or the last one."""
        averages = [n for n, heading in enumerate(self.headings) if heading.summary]
        return (averages or [len(self.headings) - 1])[-1]

    def by_title(self) -> dict[str, list[Point]]:
        """The points of each method that has at least one of the settings."""
        found: dict[str, list[Point]] = {}
        for point in self.points:
            if any(value is not None for value in point.values):
                found.setdefault(point.title, []).append(point)
        return found


def of_records(
    records: Sequence[Record], settings: Sequence[str], scorer: Scorer
) -> list[SweepTable]:
    """One sweep per group of records that may stand together.

    Raises:
        UserError: a setting that none of the records has.
    """
    _refuse_unknown(records, settings)
    return [
        _table(mixing.latest(group), tuple(settings), scorer, records)
        for group in mixing.tables(records)
    ]


def _refuse_unknown(records: Sequence[Record], settings: Sequence[str]) -> None:
    setups = titles_of.setups(records)
    for name in settings:
        if all(setup.value(name) is None for setup in setups):
            known = {f"Recipe.{own}" for setup in setups for own in setup.recipe}
            known |= {own for setup in setups for own in setup.names}
            raise UserError(f"no record has the setting {name!r}; {near_miss(name, known)}")


def _table(
    records: Sequence[Record], settings: tuple[str, ...], scorer: Scorer, among: Sequence[Record]
) -> SweepTable:
    (made,) = assemble.of_records(records, scorer=scorer, among=among)
    own = mixing.rows(records)
    shown = [row for row in made.rows if row.kind == "ours" and row.variant in own]
    titles = _titles({row.variant: own[row.variant] for row in shown if row.variant}, settings)
    points = []
    for row in shown:
        assert row.variant is not None, "it is a key of `own`"
        points.append(_point(row, own[row.variant], titles[row.variant], settings))
    return SweepTable(
        made.title,
        made.protocol,
        settings,
        made.headings,
        tuple(_in_order(points, made)),
        scorer.metric,
        made.banner,
    )


def _titles(own: Mapping[Variant, Sequence[Record]], settings: Sequence[str]) -> dict[Variant, str]:
    """What rows are called without the settings, which have columns of their own."""
    left_out = [f"{name} = " for name in settings]
    found = titles_of.titles(list(own.values()), without=left_out)
    return dict(zip(own, found, strict=True))


def _point(row: Row, records: Sequence[Record], title: str, settings: Sequence[str]) -> Point:
    setups = titles_of.setups(records)
    return Point(
        title,
        tuple(_value(setups, name) for name in settings),
        row.entries,
        row.n,
        _validation(records),
        muted=row.uses_split,
        method=records[0].method.name,
    )


def _value(setups: Sequence[Setup], name: str) -> str | None:
    values = {value for setup in setups if (value := setup.value(name)) is not None}
    if len(values) > 1:
        return BY_DATASET
    return values.pop() if values else None


def _validation(records: Sequence[Record]) -> float | None:
    """The mean over records, None as soon as one has no validation accuracy."""
    found = [record.validation.chosen for record in records if record.validation is not None]
    known = [value for value in found if value is not None]
    return fmean(known) if len(known) == len(records) else None


def _in_order(points: Sequence[Point], made: Table) -> list[Point]:
    """Points by title, as the table has them first, then by their values; the best are marked."""
    titles = list(dict.fromkeys(point.title for point in points))
    ordered: list[Point] = []
    for title in titles:
        own = [point for point in points if point.title == title]
        own.sort(key=lambda point: tuple(map(_order, point.values)))
        ordered += _with_best(own)
    return ordered


def _order(value: str | None) -> tuple[float, str]:
    setup = Setup("", (f"x.x = {value}",) if value is not None else (), {}, {})
    return in_order([setup], ["x.x"])[0]


def _with_best(points: Sequence[Point]) -> list[Point]:
    known = [p.validation for p in points if p.validation is not None]
    if len(points) < 2 or len(known) < len(points):
        return list(points)
    best = known.index(max(known))
    return [replace(p, best=number == best) for number, p in enumerate(points)]
