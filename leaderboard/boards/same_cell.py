"""All published values of the same cell of a method: the original and what others measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from promptbench.leaderboard.boards.board import Board, BoardColumn, BoardRow
from promptbench.leaderboard.boards.columns import label
from promptbench.leaderboard.boards.leaders import average_over
from promptbench.leaderboard.checking import known
from promptbench.report import ranges
from promptbench.report.text import NOTHING, SLIP


def same_cells(method: str, boards: Sequence[Board]) -> list[dict[str, Any]]:
    """One table per protocol, inference rule, backbone and count of shots that several sources
    print: a line per column of the board, the value of each source, their range and its width.

    An average that is known to be over other datasets is shown, but is not in the range.
    """
    found = []
    for board in boards:
        groups: dict[tuple[str, str, int], list[BoardRow]] = defaultdict(list)
        for row in board.rows:
            if row.method == method and row.state == "published":
                groups[row.inference, row.backbone, row.shots].append(row)
        found += [_table(board, rows) for rows in groups.values() if len(rows) > 1]
    return [table for table in found if table["lines"]]


def _table(board: Board, rows: Sequence[BoardRow]) -> dict[str, Any]:
    first = rows[0]
    lines = [_line(board, rows, column) for column in board.columns]
    return {
        "protocol": board.protocol,
        "title": known.protocol(board.protocol).cls.title,
        "about": f"{first.inference} inference, {first.backbone}, {first.shots} shots",
        "sources": [
            {
                "origin": row.origin,
                "source": row.source,
                "note": row.note,
                "over": average_over(row, board),
            }
            for row in rows
        ],
        "lines": [line for line in lines if line is not None],
    }


def _line(board: Board, rows: Sequence[BoardRow], column: BoardColumn) -> dict[str, Any] | None:
    """One cell: the values by source, and the range of those that are of the same cell; None where
    there are fewer than two of these."""
    metric, key = board.metric, column.key
    alike = [row.values[key].mean for row in rows if key in row.values and _same(row, column)]
    if len(alike) < 2:
        return None
    low, high = min(alike), max(alike)
    return {
        "label": label(column),
        "numbers": [
            metric.text(row.values[key].mean) + (SLIP if key in row.slips else "")
            if key in row.values
            else NOTHING
            for row in rows
        ],
        "range": ranges.text((low, high), metric.decimals),
        "width": metric.text(high - low),
    }


def _same(row: BoardRow, column: BoardColumn) -> bool:
    """Whether a number is of the board's cell: no average that is over other datasets."""
    return row.over.get(column.key) in (None, column.members)
