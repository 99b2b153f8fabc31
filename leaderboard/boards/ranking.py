"""Ranks and differences within the rows that may be compared.

A rank is the range of places that paired differences leave open (`places` of
`promptbench.statistics`): rows that are proven to lie above come before, those proven to lie below
come after; the others have no order that the numbers could prove. Numbers of papers have no seeds
and no rank. Which rows compete, `promptbench.report.tracks` says; averages over other or unknown
sets of datasets never do. A row that competes with nobody has no rank.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from promptbench.core.metric import Metric
from promptbench.report import tracks
from promptbench.statistics import ENOUGH_SEEDS, places

_FEWEST = 2  # rows of a ranking

if TYPE_CHECKING:
    from promptbench.leaderboard.boards.board import BoardColumn, BoardRow


def in_order(
    rows: Sequence[BoardRow], main: BoardColumn, backbone: str, metric: Metric
) -> list[BoardRow]:
    """Rows track by track; in each of them those with the backbone of the suite, with more shots,
    with settings of papers and with an average over all datasets before the others, and best first
    among these."""

    def place(row: BoardRow) -> tuple[Any, ...]:
        value = row.values.get(main.key)
        whole = not main.summary or row.over.get(main.key) == main.members
        table = (row.backbone != backbone, -row.shots, row.around)
        first = (tracks.place(row.track), *table, *tracks.place_of_row(row))
        score = 0.0 if value is None else -value.mean if metric.higher else value.mean
        return *first, value is None, not whole, score

    return sorted(rows, key=place)


def ranked(rows: Sequence[BoardRow], main: str, metric: Metric) -> list[BoardRow]:
    """Rows with their rank in the main column, in their home among the fields of rows that may be
    compared; None where no other row has the seeds for it."""
    found = list(rows)
    fields = tracks.fields(rows)
    homes = tracks.homes(fields)
    for under, members in fields.items():
        column = [rows[i].values.get(main) for i in members]
        ranks = places(column, metric.higher)
        if sum(rank is not None for rank in ranks) < _FEWEST:
            continue
        for i, rank in zip(members, ranks, strict=True):
            if homes[i] == under:
                found[i] = replace(rows[i], rank=rank)
    return found


def with_supported_marks(rows: Sequence[BoardRow]) -> list[BoardRow]:
    """Rows whose marks (best, second) are only of columns in which at least two rows of their home
    have the seeds that a test needs."""
    found = list(rows)
    fields = tracks.fields(rows)
    for i, under in tracks.homes(fields).items():
        enough = {
            key
            for key in rows[i].best | rows[i].second
            if sum(_has_seeds(rows[j], key) for j in fields[under]) >= _FEWEST
        }
        found[i] = replace(rows[i], best=rows[i].best & enough, second=rows[i].second & enough)
    return found


def _has_seeds(row: BoardRow, key: str) -> bool:
    value = row.values.get(key)
    return value is not None and value.n >= ENOUGH_SEEDS


def unranked(rows: Sequence[BoardRow], main: str) -> list[str]:
    """Rows of a board that have the seeds for a rank and none, since no other row may be compared
    with them; each with its conditions."""
    tables: dict[tuple[str, str, int], list[BoardRow]] = defaultdict(list)
    for row in rows:
        if row.state != "published":
            tables[row.backbone, row.around, row.shots].append(row)
    found = []
    for together in tables.values():
        fields = tracks.fields(together)
        for i, under in tracks.homes(fields).items():
            row = together[i]
            if _has_seeds(row, main) and row.rank is None:
                found.append(f"{row.title} ({tracks.called(under, fields)})")
    return list(dict.fromkeys(found))


def comparable(one: BoardRow, other: BoardRow, key: str) -> bool:
    """Whether two numbers of a column may be compared: of rows that are alike (`tracks`), and
    averages over the same number of datasets, which is known."""
    if not tracks.alike(one, other):
        return False
    if key not in one.over and key not in other.over:
        return True  # the number of one dataset
    count = one.over.get(key)
    return count is not None and count == other.over.get(key)


def difference_to_best(
    row: BoardRow, rows: Sequence[BoardRow], main: str, metric: Metric
) -> BoardRow:
    """A row with its differences to the best published numbers that it may be compared with: of any
    method, column by column (without decoupled inference), and of its own in the main column."""
    papers = [other for other in rows if other.state == "published"]
    fair = [other for other in papers if not other.uses_split]
    same = [o for o in papers if (o.method, o.inference) == (row.method, row.inference)]
    best = {key: _best(row, fair, key, metric) for key in row.values}
    own = _best(row, same, main, metric)
    value = row.values.get(main)
    return replace(
        row,
        differences={
            key: estimate.mean - top
            for key, estimate in row.values.items()
            if (top := best[key]) is not None
        },
        own_difference=value.mean - own
        if value is not None and own is not None and row.state != "published"
        else None,
    )


def _best(row: BoardRow, rows: Sequence[BoardRow], key: str, metric: Metric) -> float | None:
    return metric.best(
        [r.values[key].mean for r in rows if key in r.values and comparable(row, r, key)]
    )
