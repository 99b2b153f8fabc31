"""Ranks and differences within the rows that may be compared.

A rank needs an interval, and is the range of places that intervals leave open: rows whose 95 %
interval lies wholly above come before, those wholly below come after; rows whose intervals overlap
have no order that the numbers could prove. Numbers of papers have no interval and no rank; rows of
decoupled inference do not compete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from promptbench.statistics import ENOUGH_SEEDS, Estimate

if TYPE_CHECKING:
    from promptbench.leaderboard.board import BoardRow


def ranked(rows: Sequence[BoardRow], main: str) -> list[BoardRow]:
    """Rows with their rank in the main column."""
    competing = {id(row): interval for row in rows if (interval := _interval(row, main))}
    return [
        replace(row, rank=_places(competing[id(row)], list(competing.values())))
        if id(row) in competing
        else row
        for row in rows
    ]


def _places(own: tuple[float, float], all_: Sequence[tuple[float, float]]) -> tuple[int, int]:
    above = sum(low > own[1] for low, _ in all_)
    below = sum(high < own[0] for _, high in all_)
    return 1 + above, len(all_) - below


def _interval(row: BoardRow, main: str) -> tuple[float, float] | None:
    estimate = row.values.get(main)
    if estimate is None or row.uses_split or row.n < ENOUGH_SEEDS or row.state == "published":
        return None
    return estimate.interval


def difference_to_best(row: BoardRow, rows: Sequence[BoardRow], main: str) -> BoardRow:
    """A row with its differences to the best published numbers: of any method, column by column
    (without decoupled inference), and of its own in the main column."""
    papers = [other for other in rows if other.state == "published"]
    fair = [other for other in papers if not other.uses_split]
    same = [o for o in papers if (o.method, o.inference) == (row.method, row.inference)]
    best = {key: _best(fair, key) for key in row.values}
    own = _best(same, main)
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


def _best(rows: Sequence[BoardRow], key: str) -> float | None:
    found: list[Estimate] = [row.values[key] for row in rows if key in row.values]
    return max((estimate.mean for estimate in found), default=None)
