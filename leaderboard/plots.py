"""What the plots of a board draw: which of them make sense, and their numbers as plain data."""

from __future__ import annotations

from typing import Any

from promptbench.leaderboard.board import Board, BoardColumn, BoardRow
from promptbench.leaderboard.leaders import average_over
from promptbench.report.text import bars_note, spread
from promptbench.support.prose import counted
from promptbench.support.safe_text import printable

_HIGHER = "Hover or focus a point for its numbers; a click opens the method."


def plots_of(board: Board) -> dict[str, Any]:
    """`plots`: kind, title and text of each; `data`: what the scripts draw from."""
    main, metric = board.columns[0], board.metric
    name = f"{main.group}, {main.title}" if main.group else main.title
    averages = {c.title: c.key for c in board.columns if c.summary}
    per_dataset = _per_dataset(board.columns)
    shots = sorted({row.shots for row in board.rows})
    most = "At the largest count of shots shown. " if len(shots) > 1 else ""
    plots = []
    if {"base", "new"} <= set(averages):
        curves = "Dashed: equal harmonic mean. " if metric.harmonic else ""
        plots.append(_plot("base-new", "Base against new", curves + _HIGHER))
    if len(shots) > 1:
        ours = (e for row in board.rows if row.state != "published" for e in row.values.values())
        plots.append(_plot("shots", f"{name} over shots", _sentence(bars_note(ours)) or _HIGHER))
    if len(per_dataset) > 1:
        plots.append(_plot("datasets", f"{main.title} per dataset", most + _HIGHER))
    if sum(row.parameters is not None for row in board.rows) > 1:
        text = "Logarithmic scale; for numbers of papers, what the method's card states."
        plots.append(_plot("parameters", f"{name} against trained parameters", most + text))
    if any(row.seconds for row in board.rows) and len(machines := _machines(board)) == 1:
        device, threads = machines.pop()
        text = f"Mean seconds of one training on {device} with {counted(threads, 'CPU thread')}."
        plots.append(_plot("time", f"{name} against training time", most + text))
    return {
        "plots": plots,
        "data": {
            "metric": {
                "title": metric.title,
                "short": metric.short,
                "label": metric.label,
                "unit": metric.in_unit,
                "whole": metric.whole,
                "decimals": metric.decimals,
                "harmonic": metric.harmonic,
            },
            "main": {"key": main.key, "label": name},
            "base": averages.get("base"),
            "new": averages.get("new"),
            "datasets": per_dataset,
            "shots": shots,
            "rows": [_row(row, average_over(row, board), metric.decimals) for row in board.rows],
        },
    }


def _machines(board: Board) -> set[tuple[str, int]]:
    """Where the board's records were computed; seconds of several devices share no plot."""
    records = [v.record for row in board.rows for v in row.accepted if v.record]
    environments = [record.environment for record in records]
    return {(printable(each.device) or "one device", each.threads) for each in environments}


def _sentence(note: str) -> str:
    return f"{note[0].upper()}{note[1:]}." if note else ""


def _plot(kind: str, title: str, text: str) -> dict[str, str]:
    return {"kind": kind, "title": title, "text": text}


def _per_dataset(columns: tuple[BoardColumn, ...]) -> list[dict[str, str]]:
    """The ranking quantity of each dataset: key and the dataset's name."""
    single = [c for c in columns if not c.summary]
    same = [c for c in single if c.title == columns[0].title]
    return [{"key": c.key, "label": c.group if same else c.title} for c in (same or single)]


def _row(row: BoardRow, over: str, decimals: int) -> dict[str, Any]:
    return {
        "id": row.id,
        "method": row.method,
        "title": row.marked_title,
        "paradigm": row.paradigm,
        "track": row.track,
        "source": row.source,
        "over": over,
        "state": row.state,
        "preset": row.preset,
        "inference": row.inference,
        "rule": row.rule,
        "backbone": row.backbone,
        "shots": row.shots,
        "n": row.n,
        "split": row.uses_split,
        "parameters": row.parameters,
        "seconds": row.seconds,
        "values": {key: [e.mean, e.spread, spread(e, decimals)] for key, e in row.values.items()},
    }
