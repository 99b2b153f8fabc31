"""What the site's pages show, as plain data for the templates and the plots."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from promptbench.core import selection
from promptbench.core.metric import DEFAULT
from promptbench.leaderboard.boards import answer, leaders, notes, table_data
from promptbench.leaderboard.boards.board import Board, BoardRow, board_id
from promptbench.leaderboard.boards.columns import heading_of, kind, label
from promptbench.leaderboard.boards.plots import plots_of
from promptbench.leaderboard.checking import known
from promptbench.leaderboard.web import cited, source_links, table_rows
from promptbench.report import tracks
from promptbench.report.text import SLIP

MOST_CELLS = 5_000  # numbers of tables in one page, of some 150 bytes each
_FILTERS = ("track", "backbone", "shots", "preset", "rule", "inference", "paradigm", "provenance")
_FILTER_LABELS = {"provenance": "source", "rule": "selection"}


def links() -> list[dict[str, str]]:
    """Every protocol with what a link to its page needs."""
    return [{"name": name, "short": name.replace("_", " ")} for name in known.protocol_names()]


def protocols(boards: Sequence[Board]) -> list[dict[str, Any]]:
    """Every protocol with what its module says of it, and its boards."""
    found = []
    for link in links():
        name = link["name"]
        cls = known.protocol(name).cls
        text = inspect.getdoc(sys.modules[cls.__module__]) or cls.title
        mine = [board for board in boards if board.protocol == name]
        own = _placed([board_page(board) for board in mine])
        metrics = {page["metric"].name: page["metric"] for page in own}
        found.append(
            {
                **link,
                "title": cls.title,
                "version": cls.version,
                "selection": selection.recorded(known.selection_of(name)),
                "summary": " ".join(text.split("\n\n")[0].split()),
                "metrics": list(metrics.values()),
                "boards": own,
                "cited": cited.cited(mine),
            }
        )
    return found


def _placed(boards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The boards with what stands `inside` the page: the first, and those of other suites as far as
    a page has room for. What does not is loaded from a file when it is asked for."""
    room = MOST_CELLS
    for place, page in enumerate(boards):
        cells = len(page["rows"]) * len(page["columns"])
        page["inside"] = not place or (not page["aside"] and cells <= room)
        room -= cells * page["inside"]
    return boards


def board_page(board: Board) -> dict[str, Any]:
    """One board as its template takes it: `rows` are those of the usual count of shots, which its
    page holds; `more_rows`, `data` and `scores` lie in files of their own (`board_files`)."""
    columns, metric = board.columns, board.metric
    printed = [(r.source, r.origin, r.note) for r in board.rows if r.state == "published"]
    numbers = {source: i for i, source in enumerate(dict.fromkeys(printed), 1)}
    twins = table_data.twins(board)
    ranges = table_rows.ranges(board)
    most = usual_shots(board)
    rows = [
        table_rows.row_of(row, board, numbers, ranges) for row in board.rows if row.id not in twins
    ]
    ranked = any(row.rank for row in board.rows)
    seeds = any(row.n for row in board.rows)
    before, between = 1 + ranked, 2 + seeds  # rank, method; datasets, shots, n: around the averages
    shown = plots_of(board)
    return {
        "id": board_id(board.suite, metric),
        "file": f"{board.protocol}/{board_id(board.suite, metric)}",
        "suite": board.suite,
        "metric": metric,
        "aside": aside(board),
        "protocol": board.protocol,
        "main_label": label(board.columns[0]),
        "caption": (
            f"{metric.title}{metric.in_unit}, track by track, best {label(columns[0])} first; "
            "every column sorts by its heading."
        ),
        "answers": answer.answers(board),
        "published_only": answer.PUBLISHED_ONLY if answer.is_published_only(board) else "",
        "ranked": ranked,
        "seeds": seeds,
        "filters": _filters(board),
        "grouped": any(c.group for c in columns),
        "blocks": [
            {"summary": summary, "span": len(list(same)), **heading_of(group, columns)}
            for (group, summary), same in groupby(columns, key=lambda c: (c.group, c.summary))
        ],
        "columns": [
            {
                "title": (own := heading_of(c.title, columns))["title"],
                "label": ", ".join(filter(None, (c.group, own["full"])))
                if own["full"]
                else label(c),
                "kind": kind(c, columns),
                "number": number + (before if c.summary else before + between),
            }
            for number, c in enumerate(columns)
        ],
        "rows": [row for row in rows if row["shots"] == most],
        "more_rows": {
            shots: [row for row in rows if row["shots"] == shots]
            for shots in sorted({row["shots"] for row in rows} - {most})
        },
        "shots": most,
        "leaders": _leaders(board),
        "tracks": _tracks(board),
        "top": _top(board),
        "top_label": _top_label(board),
        "notes": notes.notes_of(board),
        "sources": [
            {
                "source": source,
                "origin": _origin(origin),
                "links": source_links.links(source),
                "note": note,
                "slips": _slips(board, (source, origin, note)),
            }
            for source, origin, note in numbers
        ],
        **shown,
        "data": table_data.packed(shown["data"], board),
        "scores": table_data.scores(board),
    }


def aside(board: Board) -> str:
    """What follows the name of a board that is not in the usual metric."""
    return "" if board.metric.name == DEFAULT else f", {board.metric.heading}"


def _filters(board: Board) -> list[dict[str, Any]]:
    """What rows can be chosen by: tracks in their order, other facts sorted."""
    found = []
    for name in _FILTERS:
        values = {value for row in board.rows for value in _called(row, name)}
        own = sorted(values, key=tracks.place) if name == "track" else sorted(values)
        texts = [str(value) for value in own]
        found.append(
            {
                "field": name,
                "label": _FILTER_LABELS.get(name, name),
                "values": texts,
                "chosen": str(usual_shots(board)) if name == "shots" else "",
            }
        )
    over = sorted({text for row in board.rows if (text := leaders.average_over(row, board))})
    averages = {"field": "over", "label": "average over", "values": over, "chosen": ""}
    return [f for f in (found[0], averages, *found[1:]) if len(f["values"]) > 1]


def _called(row: BoardRow, name: str) -> set[Any]:
    """What a row is found by in a filter: where presets are one in fact, by each of them."""
    own = {getattr(row, name)}
    return own | ({"paper", "unified"} & set(row.settings)) if name == "preset" else own


def usual_shots(board: Board) -> int:
    """The count of shots that is shown first: the largest, by which leaders are found."""
    return max((row.shots for row in board.rows), default=0)


def _leaders(board: Board) -> list[dict[str, Any]]:
    return [
        {
            "track": leader.name,
            "about": leader.about,
            "method": leader.row.method,
            "title": leader.row.marked_title,
            "row": leader.row.id,
            "state": leader.row.state,
            "provenance": leader.row.provenance,
            **leaders.told(leader, board),
        }
        for leader in leaders.leaders(board)
    ]


def _tracks(board: Board) -> list[tuple[str, str]]:
    """The tracks of a board with several, and what each may learn from."""
    own = {row.track for row in board.rows}
    return [(name, text) for name, text in tracks.TRACKS.items() if name in own and len(own) > 1]


def _slips(board: Board, source: tuple[str, str, str]) -> list[str]:
    """How numbers of a source contradict its others."""
    labels = {column.key: label(column) for column in board.columns}
    return [
        f"{SLIP} {row.title}, {labels[key]}: {slip}"
        for row in board.rows
        if (row.source, row.origin, row.note) == source
        for key, slip in row.slips.items()
    ]


def _top(board: Board) -> list[dict[str, Any]]:
    """The five best rows under the first conditions, among those that may be compared."""
    return [
        {
            "method": row.method,
            "title": row.marked_title,
            "value": table_rows.figure(row.values[board.main], board.metric)["value"]
            + (SLIP if board.main in row.slips else ""),
            "state": row.state,
            "provenance": row.provenance,
            "origin": row.origin,
            "rank": table_rows.rank_text(row.rank) if row.rank else "",
        }
        for leader in leaders.leaders(board)[:1]
        for row in leader.rows
    ][:5]


def _top_label(board: Board) -> str:
    counts = {row.shots for row in board.rows}
    shots = f", {max(counts)} shots" if len(counts) > 1 else ""
    found = leaders.leaders(board)
    several = len({row.track for row in board.rows}) > 1 or len(found) > 1
    first = next((f", {leader.name}" for leader in found if several), "")
    return label(board.columns[0]) + shots + first


def _origin(origin: str) -> str:
    return "origin unknown" if origin == "unknown" else origin
