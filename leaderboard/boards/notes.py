"""What is said below the table of a board: how to read its marks, and what holds of its rows."""

from __future__ import annotations

from collections.abc import Sequence

from promptbench.leaderboard.boards import ranking
from promptbench.leaderboard.boards.board import ACCURACY_ONLY, Board, BoardRow
from promptbench.report import tracks
from promptbench.report.text import MIXED, SLIP, few, spread_notes
from promptbench.statistics import ENOUGH_SEEDS


def notes_of(board: Board) -> list[str]:
    """What has to be said below the table of a board, one line for each matter."""
    rows = board.rows
    ours = [row for row in rows if row.state != "published"]
    highest = "highest" if board.metric.higher else "lowest"
    notes = [] if board.metric.higher else [f"{board.metric.title}: lower is better"]
    if ours:
        notes += [
            "rank: the places that are left open by paired t-tests over seeds of every two rows "
            f"of a group (Holm, p < 0.05); it needs {ENOUGH_SEEDS} seeds, which numbers of papers "
            "do not have",
            *_groups(board, ours),
            *spread_notes(
                (value for row in ours for value in row.values.values()), board.metric.values
            ),
        ]
    if any(value.images for row in ours for value in row.values.values()):
        notes.append(
            "under the mouse: the 95% interval over test images; the number of a dataset leads to "
            "what goes wrong behind it"
        )
    if any(row.best for row in ours):
        best = "best" if board.metric.higher else "best (lowest)"
        notes.append(
            f"bold: {best}, underlined: second best of a column among rows of one group with "
            f"{ENOUGH_SEEDS} seeds; numbers of papers, which have none, are not marked"
        )
    if not board.on_one_data:
        notes.append("rows on other images or class names cannot be compared: they have no rank")
    if any(few(value) for row in rows for value in row.values.values()):
        notes.append(f"†: fewer than {ENOUGH_SEEDS} seeds; differences may be chance")
    if any(row.uses_split for row in rows):
        notes.append(
            "grey: decoupled inference knows at test time which classes were learned; it has no "
            "rank"
        )
    if any(row.state == "published" for row in rows):
        notes.append(
            "original: a number that the method's own authors published; re-run: published by "
            "others who ran the method; unknown: nobody says which"
        )
        notes.append(
            f"best published: the {highest} number in a paper, without decoupled inference, of the "
            "same track, backbone and count of shots, averages over as many datasets; published of "
            f"its own: the {highest} for the same method"
        )
        notes.append(
            "averages are compared with others over as many datasets only; how many is recomputed "
            "from the numbers beside them, or said by the source (?, not stated: neither)"
        )
    if any(row.slips for row in rows):
        notes.append(
            f"{SLIP}: the source contradicts itself; printed as it stands, see the sources"
        )
    if any(c.key not in row.values for row in ours for c in board.columns):
        notes.append("—: not run; incomplete rows have no average")
    plain = dict.fromkeys(row.title for row in ours if row.accuracy_only)
    if plain:
        notes.append(
            f"{ACCURACY_ONLY}: records of schema 1 hold labels and no probabilities, so that "
            f"metrics which need these have none of theirs: {', '.join(plain)}"
        )
    notes += board.remarks
    notes += [f"{MIXED} {row.title}: {'; '.join(row.mixed)}" for row in ours if row.mixed]
    return notes


def _groups(board: Board, ours: Sequence[BoardRow]) -> list[str]:
    """Which of our own rows rank among themselves, where there are several groups, and which have
    nobody to be compared with."""
    fields = tracks.fields(ours)
    notes = []
    if len(fields) > 1:
        names = "; ".join(tracks.called(under, fields) for under in fields)
        notes.append(
            "groups, by what a method learns from, what its settings were chosen by and which of a "
            f"training's states is scored: {names}; a method that learns nothing competes in all "
            "groups of its track, and has its rank and marks in the first"
        )
    alone = ranking.unranked(ours, board.main) if board.on_one_data and len(ours) > 1 else []
    if alone:
        notes.append(
            f"no rank, as no other row of {ENOUGH_SEEDS} seeds may be compared with it: "
            f"{'; '.join(alone)}"
        )
    return notes
