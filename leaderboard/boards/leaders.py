"""Who leads a board, track by track, and how much that rests on.

Only rows that may be compared compete (`promptbench.report.tracks`), with the suite's backbone and
the board's largest count of shots, and with an average over all datasets of the protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

from promptbench.leaderboard.boards.board import Board, BoardRow
from promptbench.report import tracks
from promptbench.report.text import NOTHING, SLIP
from promptbench.report.tracks import Conditions
from promptbench.support.prose import counted

CONDITIONS = "without split knowledge"


@dataclass(frozen=True)
class Leader:
    """The best row under some conditions: `rows` are all that compete, best first, of so many
    methods; so many further rows under the same have an average over other datasets, or over nobody
    knows which. `name` says the conditions in short and `about` in full; `values` are all main
    values of its method."""

    conditions: Conditions
    name: str
    about: str
    rows: tuple[BoardRow, ...]
    methods: int
    aside: int
    values: tuple[float, ...]

    @property
    def row(self) -> BoardRow:
        """The best one."""
        return self.rows[0]


def leaders(board: Board) -> list[Leader]:
    """The leader under all conditions that have a row which competes: track by track, with settings
    as papers have them first, then one setting for all datasets, then those of equal budgets."""
    rows = _fair(board)
    fields = tracks.fields(rows)
    found = []
    for under, members in fields.items():
        fair = [rows[i] for i in members]
        whole = tuple(row for row in fair if _is_whole(board, row))
        if whole:
            same = [row for row in whole if row.method == whole[0].method]
            found.append(
                Leader(
                    under,
                    tracks.called(under, fields),
                    tracks.called(under, fields, short=False),
                    whole,
                    methods=len({row.method for row in whole}),
                    aside=len(fair) - len(whole),
                    values=tuple(row.values[board.main].mean for row in same),
                )
            )
    return found


def _fair(board: Board) -> list[BoardRow]:
    """The rows with the suite's backbone and the largest count of shots, best first."""
    most = max((row.shots for row in board.rows), default=0)
    found = [
        row
        for row in board.rows
        if (row.shots, row.backbone) == (most, board.suite.backbone) and board.main in row.values
    ]
    sign = -1 if board.metric.higher else 1
    return sorted(found, key=lambda row: sign * row.values[board.main].mean)


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
    among = f"best of {counted(len(leader.rows), 'row')} of {counted(leader.methods, 'method')}"
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
