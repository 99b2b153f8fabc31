"""Who leads a board, track by track, and how much that rests on.

Only rows that may be compared compete: of one track, with settings that were chosen alike and by
one selection rule, without split knowledge, with the suite's backbone and the board's largest count
of shots, with an average over all datasets of the protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from promptbench.core.selection import USUAL
from promptbench.leaderboard.board import Board, BoardRow
from promptbench.report import tracks
from promptbench.report.text import NOTHING, SLIP
from promptbench.support.prose import counted

CONDITIONS = "without split knowledge"


class Conditions(NamedTuple):
    """Under what rows compete: what a method may learn from, what its settings were chosen by, and
    which of a training's states is scored."""

    track: str
    settings: str = tracks.PAPER
    selection: str = USUAL


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
    every = _conditions(board)
    found = (_leader(board, each, every) for each in every)
    return [leader for leader in found if leader is not None]


def _conditions(board: Board) -> list[Conditions]:
    """Those that rows of a board have; a method that learns nothing competes under all, and only
    where nothing else competes under those of papers."""
    found = {
        Conditions(row.track, row.settings, row.selection)
        for row in board.rows
        if row.settings != tracks.ANY_SETTINGS
    }
    tracked = {each.track for each in found}
    found |= {Conditions(row.track) for row in board.rows if row.track not in tracked}
    return sorted(found, key=_place)


def _place(own: Conditions) -> tuple[int, int, str, bool, str]:
    return (
        tracks.place(own.track),
        tracks.place_of_settings(own.settings),
        own.settings,
        own.selection != USUAL,
        own.selection,
    )


def _leader(board: Board, under: Conditions, every: list[Conditions]) -> Leader | None:
    fair = _fair(board, under)
    rows = tuple(row for row in fair if _is_whole(board, row))
    if not rows:
        return None
    same = [row.values[board.main].mean for row in rows if row.method == rows[0].method]
    methods = len({row.method for row in rows})
    name, about = _words(under, every)
    return Leader(under, name, about, rows, methods, len(fair) - len(rows), tuple(same))


def _words(under: Conditions, every: list[Conditions]) -> tuple[str, str]:
    """Conditions in short, and in full. Settings as papers have them, scored after the last epoch,
    are said only beside others."""
    short = tracks.short_settings(under.settings)
    alike = {each.settings for each in every if tracks.short_settings(each.settings) == short}
    settings = short if len(alike) == 1 else under.settings
    usual = {(each.settings, each.selection) for each in every} == {(tracks.PAPER, USUAL)}
    rule = "" if under.selection == USUAL else under.selection
    name = ", ".join(filter(None, (under.track, "" if usual else settings, rule)))
    about = "; ".join(filter(None, (tracks.TRACKS[under.track], under.settings, rule)))
    return name, tracks.TRACKS[under.track] if usual else about


def _fair(board: Board, under: Conditions) -> list[BoardRow]:
    most = max((row.shots for row in board.rows), default=0)
    return [
        row
        for row in board.rows
        if (row.track, row.shots, row.backbone) == (under.track, most, board.suite.backbone)
        and _competes(row, under)
        and not row.uses_split
        and board.main in row.values
    ]


def _competes(row: BoardRow, under: Conditions) -> bool:
    if row.settings == tracks.ANY_SETTINGS:
        return True  # nothing is learned, so that nothing is selected
    return (row.settings, row.selection) == (under.settings, under.selection)


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
