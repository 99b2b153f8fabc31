"""Ranks and differences within the rows that may be compared.

A rank is the range of places that paired differences leave open (`places` of
`promptbench.statistics`): rows that are proven to lie above come before, those proven to lie below
come after; the others have no order that the numbers could prove. Numbers of papers have no seeds
and no rank; rows of decoupled inference do not compete. Rows of different tracks (see
`promptbench.report.tracks`) never do, nor averages over other or unknown sets of datasets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from promptbench.core.metric import Metric
from promptbench.report import tracks
from promptbench.statistics import ENOUGH_SEEDS, places

if TYPE_CHECKING:
    from promptbench.leaderboard.board import BoardColumn, BoardRow


def in_order(
    rows: Sequence[BoardRow], main: BoardColumn, backbone: str, metric: Metric
) -> list[BoardRow]:
    """Rows track by track; in each of them those with the backbone of the suite, with more shots
    and with an average over all datasets before the others, and best first among these."""

    def place(row: BoardRow) -> tuple[int, bool, int, bool, bool, float]:
        value = row.values.get(main.key)
        whole = not main.summary or row.over.get(main.key) == main.members
        first = (tracks.place(row.track), row.backbone != backbone, -row.shots)
        score = 0.0 if value is None else -value.mean if metric.higher else value.mean
        return *first, value is None, not whole, score

    return sorted(rows, key=place)


def ranked(rows: Sequence[BoardRow], main: str, metric: Metric) -> list[BoardRow]:
    """Rows with their rank in the main column, among those of their track whose settings were
    chosen alike; a method without settings has its rank among the papers'."""
    found = list(rows)
    for track, settings in {(row.track, _settings(row)) for row in rows}:
        column = [
            row.values.get(main)
            if row.track == track
            and tracks.compete(row.settings, settings)
            and not row.uses_split
            and row.state != "published"
            else None
            for row in rows
        ]
        for i, rank in enumerate(places(column, metric.higher)):
            if rank is not None and _settings(rows[i]) == settings:
                found[i] = replace(rows[i], rank=rank)
    return found


def with_supported_marks(rows: Sequence[BoardRow]) -> list[BoardRow]:
    """Rows whose marks (best, second) are only of columns in which at least two rows of a track
    have the seeds that a test needs."""
    enough = Counter(
        (row.track, key)
        for row in rows
        for key, value in row.values.items()
        if value.n >= ENOUGH_SEEDS and not row.uses_split
    )
    return [
        replace(
            row,
            best=frozenset(key for key in row.best if enough[row.track, key] > 1),
            second=frozenset(key for key in row.second if enough[row.track, key] > 1),
        )
        for row in rows
    ]


def _settings(row: BoardRow) -> str:
    return row.settings or tracks.PAPER


def comparable(one: BoardRow, other: BoardRow, key: str) -> bool:
    """Whether two numbers of a column may be compared: of one track, with settings that were chosen
    alike, and averages over the same number of datasets, which is known."""
    if one.track != other.track or not tracks.compete(one.settings, other.settings):
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
