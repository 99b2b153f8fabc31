"""The page of all methods: where their equations stand, what they use, how they were checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from promptbench.catalogue.method_card import EQUALS, MethodCard
from promptbench.leaderboard.boards.board import Board, BoardRow, of_default_metric
from promptbench.leaderboard.checking import known
from promptbench.report import published, ranges, tracks
from promptbench.report.text import NOTHING
from promptbench.support.prose import counted


def method_list(methods: Sequence[Mapping[str, Any]], boards: Sequence[Board]) -> dict[str, Any]:
    """The page's facts from those of each method's own page (`method_pages.methods`)."""
    rows = [_row(method, boards) for method in methods]
    here = [row for row in rows if row["equals"]]
    counted_by = {said: sum(row["equals"] == said for row in here) for said in EQUALS}
    return {
        "run": here,
        "printed": [row for row in rows if not row["equals"]],
        "checked": [
            {"equals": said, "count": count, "text": EQUALS[said]}
            for said, count in counted_by.items()
            if count
        ],
    }


def _row(method: Mapping[str, Any], boards: Sequence[Board]) -> dict[str, Any]:
    card: MethodCard | None = method["card"]
    name = method["name"]
    printed = published.methods().get(name)
    facts = card.facts if card else {}
    return {
        "name": name,
        "title": method["title"],
        "paradigm": method["paradigm"],
        "arxiv": method["arxiv"],
        "paper": facts.get("paper") or (printed.paper if printed else NOTHING),
        "equations": facts.get("equations from", NOTHING),
        "extra": facts.get("data beyond the few shots", NOTHING),
        "parameters": facts.get("parameters on ViT-B/16", NOTHING),
        "track": _track(card, printed.track if printed else None),
        "equals": known.stated(name, "equals") if card else "",
        "published": list(_published(name, boards)) or [NOTHING],
    }


def _track(card: MethodCard | None, printed: str | None) -> str:
    """The track that papers' rows stand in; of a method that no paper's row has, its own."""
    if printed:
        return printed
    extra = card.facts["data beyond the few shots"] if card else ""
    return tracks.INDUCTIVE if extra.startswith("none") else NOTHING


def _published(method: str, boards: Sequence[Board]) -> Iterator[str]:
    """Protocol by protocol, the range of the main average as papers print it.

    Under the conditions of the board: its backbone, its largest count of shots, all datasets. Rows
    with split knowledge are of another kind, and so are averages over other datasets.
    """
    for board in of_default_metric(boards):
        if not board.suite.comparable:
            continue
        most = max((row.shots for row in board.rows), default=0)
        for uses_split in (False, True):
            values = [
                row.values[board.main].mean
                for row in board.rows
                if row.method == method
                and row.uses_split == uses_split
                and row.shots in (0, most)
                and _is_whole(row, board)
            ]
            if values:
                found = ranges.text((min(values), max(values)), board.metric.decimals)
                where = f"{board.protocol.replace('_', ' ')}, {board.main_column.title}"
                rule = ", with split knowledge" if uses_split else ""
                yield f"{where}: {found} ({counted(len(values), 'source')}{rule})"


def _is_whole(row: BoardRow, board: Board) -> bool:
    column = board.main_column
    if row.state != "published" or board.main not in row.values:
        return False
    return row.backbone == board.suite.backbone and (
        not column.summary or row.over.get(column.key) in (None, column.members)
    )
