"""Who leads a board, track by track, and how much that rests on.

Only rows that may be compared compete: of one track, without split knowledge, with the suite's
backbone and the board's largest count of shots, with an average over all datasets of the protocol.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from promptbench.leaderboard.board import Board, BoardRow
from promptbench.report import tracks
from promptbench.report.text import NOTHING, SLIP
from promptbench.support.prose import counted

CONDITIONS = "without split knowledge"


@dataclass(frozen=True)
class Leader:
    """The best row of a track: among how many rows of how many methods, and how many rows of the
    track have an average over other datasets, or over nobody knows which. `values` are all main
    values of its method under the same conditions."""

    track: str
    row: BoardRow
    rows: int
    methods: int
    aside: int
    values: tuple[float, ...]


def leaders(board: Board) -> list[Leader]:
    """The leader of each track that has a row which competes, with settings as papers have them."""
    return [found for track in tracks.TRACKS for found in _of_track(board, track)]


def competing(board: Board, track: str) -> list[BoardRow]:
    """The rows of a track that compete, best first."""
    return [row for row in _fair(board, track) if _is_whole(board, row)]


def _of_track(board: Board, track: str) -> Iterator[Leader]:
    rows = competing(board, track)
    if not rows:
        return
    first = rows[0]
    same = [row.values[board.main].mean for row in rows if row.method == first.method]
    aside = len(_fair(board, track)) - len(rows)
    methods = len({row.method for row in rows})
    yield Leader(track, first, len(rows), methods, aside, tuple(same))


def _fair(board: Board, track: str) -> list[BoardRow]:
    most = max((row.shots for row in board.rows), default=0)
    return [
        row
        for row in board.rows
        if (row.track, row.shots, row.backbone) == (track, most, board.suite.backbone)
        and tracks.compete(row.settings, tracks.PAPER)
        and not row.uses_split
        and board.main in row.values
    ]


def _is_whole(board: Board, row: BoardRow) -> bool:
    column = board.main_column
    return not column.summary or row.over.get(column.key) == column.members


def told(leader: Leader, board: Board) -> dict[str, str]:
    """What is said of a leader: its number, what it rests on, and whom it was compared with."""
    row, metric, column = leader.row, board.metric, board.main_column
    value = f"{metric.text(row.values[board.main].mean)}{SLIP if board.main in row.slips else ''}"
    rests = [f"average over {counted(column.members, 'dataset')}"] if column.summary else []
    rests.append(counted(row.n, "seed") if row.n else f"one source ({row.origin})")
    if len(leader.values) > 1:
        low, high = (metric.text(end(leader.values)) for end in (min, max))
        rests.append(f"{len(leader.values)} rows of this method: {low}–{high}")
    among = f"best of {counted(leader.rows, 'row')} of {counted(leader.methods, 'method')}"
    if leader.aside:
        verb = "is" if leader.aside == 1 else "are"
        more = counted(leader.aside, "more row")
        among += f"; {more} with an average over other or unknown datasets {verb} not compared"
    return {"value": value, "rests": "; ".join(rests), "among": among}


def average_over(row: BoardRow, board: Board) -> str:
    """How many datasets the main average of a row is over, as text; empty without an average."""
    column = board.main_column
    if not column.summary or column.key not in row.values:
        return ""
    count = row.over.get(column.key)
    return NOT_STATED if count is None else counted(count, "dataset")


NOT_STATED = "not stated"


def short_over(row: BoardRow, board: Board) -> str:
    """The same in a narrow column: the number, a question mark, or a dash without an average."""
    text = average_over(row, board)
    return NOTHING if not text else "?" if text == NOT_STATED else text.split()[0]
