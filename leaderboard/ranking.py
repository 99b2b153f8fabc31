"""Ranks and differences within the rows that may be compared.

A rank is the range of places that paired differences leave open (`places` of
`promptbench.statistics`): rows that are proven to lie above come before, those proven to lie below
come after; the others have no order that the numbers could prove. Numbers of papers have no seeds
and no rank; rows of decoupled inference do not compete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from promptbench.core.metric import Metric
from promptbench.statistics import places

if TYPE_CHECKING:
    from promptbench.leaderboard.board import BoardRow


def ranked(rows: Sequence[BoardRow], main: str, metric: Metric) -> list[BoardRow]:
    """Rows with their rank in the main column."""
    competing = [not row.uses_split and row.state != "published" for row in rows]
    column = [row.values.get(main) if c else None for row, c in zip(rows, competing, strict=True)]
    ranks = places(column, metric.higher)
    return [replace(row, rank=rank) for row, rank in zip(rows, ranks, strict=True)]


def difference_to_best(
    row: BoardRow, rows: Sequence[BoardRow], main: str, metric: Metric
) -> BoardRow:
    """A row with its differences to the best published numbers: of any method, column by column
    (without decoupled inference), and of its own in the main column."""
    papers = [other for other in rows if other.state == "published"]
    fair = [other for other in papers if not other.uses_split]
    same = [o for o in papers if (o.method, o.inference) == (row.method, row.inference)]
    best = {key: _best(fair, key, metric) for key in row.values}
    own = _best(same, main, metric)
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


def _best(rows: Sequence[BoardRow], key: str, metric: Metric) -> float | None:
    return metric.best([row.values[key].mean for row in rows if key in row.values])
