"""The rows of a board's table as plain data: numbers as text, marks, links and dots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from promptbench.core.metric import Metric
from promptbench.leaderboard.boards import leaders
from promptbench.leaderboard.boards.board import PROVENANCE, Board, BoardColumn, BoardRow
from promptbench.leaderboard.boards.columns import kind
from promptbench.leaderboard.web import error_pages, source_links
from promptbench.report import published, tracks
from promptbench.report.text import NOTHING, SLIP, few, spread
from promptbench.statistics import Estimate


def parts(method: str) -> list[tuple[str, str]]:
    """Name and title of the method and of the modifier that a name such as `coop+dept` joins."""
    printed = published.methods()
    own = printed[method].parts if method in printed else ()
    return [(part, printed[part].title) for part in own]


Range = tuple[float, float]


def ranges(board: Board) -> dict[str, Range]:
    """The lowest and the highest number of each average, between which its dots lie."""
    found = {}
    for column in (c for c in board.columns if c.summary):
        numbers = [end for row in board.rows for end in _reach(row.values.get(column.key))]
        if len(set(numbers)) > 1:
            found[column.key] = (min(numbers), max(numbers))
    return found


def _reach(value: Estimate | None) -> tuple[float, ...]:
    """A number with the ends of its interval."""
    return () if value is None else (value.mean, *(value.interval or ()))


def _dot(value: Estimate | None, ends: Range | None) -> dict[str, str]:
    """Where a number lies between the ends, in percent: `x`, and its interval from `a` to `b`."""
    if value is None or ends is None:
        return {}
    low, high = ends
    places = [f"{100 * (end - low) / (high - low):.1f}" for end in _reach(value)]
    return dict(zip("xab", places, strict=False))


def row_of(
    row: BoardRow,
    board: Board,
    numbers: dict[tuple[str, str, str], int],
    ranges: Mapping[str, Range],
) -> dict[str, Any]:
    cells = [
        (
            c.summary,
            _cell(row, c.key, board.metric)
            | {
                "href": _errors_of(row, c, board.columns),
                "mark": "b" if c.key in row.best else "u" if c.key in row.second else "",
                "dot": _dot(row.values.get(c.key), ranges.get(c.key)),
            },
        )
        for c in board.columns
    ]
    return {
        "id": row.id,
        "title": row.marked_title,
        "method": row.method,
        "track": "" if row.track == tracks.INDUCTIVE else row.track,
        "parts": parts(row.method),
        "over": leaders.short_over(row, board),
        "over_order": row.over.get(board.main) or 0,
        "over_note": leaders.average_over(row, board),
        "state": row.state,
        "provenance": row.provenance,
        "source": _told_source(row),
        "links": source_links.links(row.source),
        "accuracy_only": row.accuracy_only,
        "uses_split": row.uses_split,
        "rank": {"text": rank_text(row.rank), "order": row.rank[0] if row.rank else 9999},
        "shots": row.shots,
        "n": row.n,
        "citation": numbers.get((row.source, row.origin, row.note)),
        "averages": [cell for summary, cell in cells if summary],
        "single": [cell for summary, cell in cells if not summary],
        "to_best": signed(row.differences.get(board.main), board.metric),
        "to_own": signed(row.own_difference, board.metric),
    }


def _told_source(row: BoardRow) -> str:
    """The tooltip of a row's provenance."""
    if row.state == "published":
        facts = (PROVENANCE[row.provenance], row.source, row.note)
        return "; ".join(filter(None, facts))
    return f"{PROVENANCE[row.provenance]}; the method's page has them"


def _errors_of(row: BoardRow, column: BoardColumn, columns: Sequence[BoardColumn]) -> str:
    """The page of what goes wrong behind a number of one dataset: of its first seed's record, which
    leads to those of the others. Empty for averages, printed numbers, and what lies behind another
    number of the same dataset, whose page holds it too."""
    names = {column.group, column.title}
    if column.summary or kind(column, columns) == "detail":
        return ""
    records = [
        v.record
        for v in row.accepted
        if v.record and names & {target.dataset for target in v.record.targets}
    ]
    if not records:
        return ""
    first = min(records, key=lambda record: record.seed)
    (dataset,) = names & {target.dataset for target in first.targets}
    return error_pages.anchor(first, dataset, column.title)


def _cell(row: BoardRow, key: str, metric: Metric) -> dict[str, Any]:
    """A number as its cell takes it; its note says what the row does not say of all its numbers."""
    value, slip = row.values.get(key), row.slips.get(key, "")
    if value is None:
        nothing = "" if row.state == "published" else NOTHING
        return {"order": _last(metric), "value": nothing, "spread": "", "note": ""}
    shown = figure(value, metric)
    notes = [f"n = {value.n}"] if value.n and value.n != row.n else []
    if value.images:
        low, high = value.images
        notes.append(f"test images: {metric.text(low)} to {metric.text(high)}")
    if slip:
        notes.append(f"{SLIP} {slip}")
        shown["value"] += SLIP
    return {"order": f"{value.mean:.7g}", **shown, "note": "; ".join(notes)}


def _last(metric: Metric) -> float:
    """What a cell without a number sorts by: worse than any number."""
    worst = metric.bounds[0] if metric.higher else metric.bounds[1]
    beyond = -1 if metric.higher else 1
    return int(worst) + beyond if math.isfinite(worst) else beyond * 1e12


def figure(value: Estimate, metric: Metric) -> dict[str, str]:
    """A number and its spread, as text."""
    shown = f"{metric.text(value.mean)}{few(value)}"
    return {"value": shown, "spread": spread(value, metric.decimals)}


def rank_text(rank: tuple[int, int] | None) -> str:
    """A rank, or the ranks between which a row lies."""
    if rank is None:
        return "–"
    return str(rank[0]) if rank[0] == rank[1] else f"{rank[0]}–{rank[1]}"


def signed(difference: float | None, metric: Metric) -> dict[str, str]:
    """A difference as text, and what it sorts by."""
    if difference is None:
        return {"order": "-999", "text": ""}
    return {"order": f"{difference:.6f}", "text": metric.text(difference, "+")}
