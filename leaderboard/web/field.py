"""A method beside the field: on each board, what it reaches among all rows that compete with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from promptbench.leaderboard.boards import plots
from promptbench.leaderboard.boards.board import Board, BoardRow
from promptbench.leaderboard.boards.columns import label
from promptbench.leaderboard.boards.leaders import Leader, leaders
from promptbench.leaderboard.checking import known
from promptbench.leaderboard.web.pages import aside
from promptbench.leaderboard.web.table_rows import rank_text
from promptbench.support.prose import counted

_WIDTH, _DOT = 640, 9  # of the strip and of a dot in it, as it is laid out


Field = tuple[Board, Leader]  # the rows of a board that compete with each other


def fields(boards: Sequence[Board]) -> list[Field]:
    """All fields of some boards."""
    return [(board, leader) for board in boards for leader in leaders(board)]


def places(method: str, among: Sequence[Field]) -> Iterator[dict[str, Any]]:
    """Its place in each field in which it has a row: said, and as a strip of dots."""
    for board, leader in among:
        rows = leader.rows
        own = [row for row in rows if row.method == method]
        if not own:
            continue
        column = board.main_column
        over = f", average over {counted(column.members, 'dataset')}" if column.summary else ""
        yield {
            "protocol": board.protocol,
            "title": known.protocol(board.protocol).cls.title,
            "id": f"suite-{board.suite.name}",
            "suite": board.suite.name,
            "aside": aside(board),
            "banner": board.suite.banner,
            "said": _said(method, own[0], rows, board),
            "about": f"{label(column)}{board.metric.in_unit}; {leader.name}, "
            f"{counted(max(row.shots for row in rows), 'shot')}{over}",
            "colour": plots.colours([method])[method],
            **_strip(method, rows, board),
        }


def _said(method: str, own: BoardRow, rows: Sequence[BoardRow], board: Board) -> str:
    """Its best number among the best of each method; and its rank, where seeds allow one."""
    metric, mine = board.metric, own.values[board.main].mean
    sign = 1 if metric.higher else -1
    best: dict[str, float] = {}
    for row in rows:
        number = sign * row.values[board.main].mean
        best[row.method] = max(number, best.get(row.method, number))
    others = [number for name, number in best.items() if name != method]
    below = sum(number < sign * mine for number in others)
    word = "higher" if metric.higher else "lower"
    among = (
        f"{word} than {below} of {counted(len(others), 'other method')}"
        if others
        else "the only method here"
    )
    rank = f"rank {rank_text(own.rank)}" if own.rank else "no rank, which takes three seeds or more"
    return f"{metric.text(mine)} ({own.state}), {among}; {rank}"


def _strip(method: str, rows: Sequence[BoardRow], board: Board) -> dict[str, Any]:
    """All numbers as dots between the least and the most, those of one place above each other."""
    metric = board.metric
    values = [(row.values[board.main].mean, row) for row in rows]
    low, high = min(v for v, _ in values), max(v for v, _ in values)
    room = (high - low) or 1.0
    taken: list[tuple[float, int]] = []
    dots = []
    for value, row in sorted(values, key=lambda pair: pair[1].method != method):
        x = (value - low) / room if high > low else 0.5
        level = 0
        while any(at == level and abs(x - there) * _WIDTH < _DOT for there, at in taken):
            level += 1
        taken.append((x, level))
        text = f"{row.marked_title} {metric.text(value)}"
        dots.append(
            {"x": f"{100 * x:.2f}", "level": level, "own": row.method == method, "text": text}
        )
    return {
        "dots": dots,
        "levels": max(level for _, level in taken) + 1,
        "low": metric.text(low),
        "high": metric.text(high),
    }
