"""What the site's pages show, as plain data for the templates and the plots."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from promptbench.core import selection
from promptbench.core.metric import DEFAULT, Metric
from promptbench.leaderboard import (
    answer,
    cited,
    error_pages,
    known,
    leaders,
    ranking,
    source_links,
    table_data,
)
from promptbench.leaderboard.board import (
    ACCURACY_ONLY,
    PROVENANCE,
    Board,
    BoardColumn,
    BoardRow,
    board_id,
)
from promptbench.leaderboard.columns import heading_of, kind, label
from promptbench.leaderboard.plots import plots_of
from promptbench.report import published, tracks
from promptbench.report.text import MIXED, NOTHING, SLIP, few, spread, spread_notes
from promptbench.statistics import ENOUGH_SEEDS, Estimate

_FILTERS = ("track", "backbone", "shots", "preset", "rule", "inference", "paradigm", "provenance")
_FILTER_LABELS = {"provenance": "source", "rule": "selection"}


def protocols(boards: Sequence[Board]) -> list[dict[str, Any]]:
    """Every protocol with what its module says of it, and its boards."""
    found = []
    for name in known.protocol_names():
        cls = known.protocol(name).cls
        text = inspect.getdoc(sys.modules[cls.__module__]) or cls.title
        mine = [board for board in boards if board.protocol == name]
        own = [board_page(board) for board in mine]
        metrics = {page["metric"].name: page["metric"] for page in own}
        found.append(
            {
                "name": name,
                "title": cls.title,
                "short": name.replace("_", " "),
                "version": cls.version,
                "selection": selection.recorded(known.selection_of(name)),
                "summary": " ".join(text.split("\n\n")[0].split()),
                "metrics": list(metrics.values()),
                "boards": own,
                "cited": cited.cited(mine),
            }
        )
    return found


def board_page(board: Board) -> dict[str, Any]:
    """One board as its template takes it: `rows` are those of the usual count of shots, which its
    page holds; `more_rows`, `data` and `scores` lie in files of their own (`board_files`)."""
    columns, metric = board.columns, board.metric
    printed = [(r.source, r.origin, r.note) for r in board.rows if r.state == "published"]
    numbers = {source: i for i, source in enumerate(dict.fromkeys(printed), 1)}
    twins = table_data.twins(board)
    ranges = _ranges(board)
    most = usual_shots(board)
    rows = [_row(row, board, numbers, ranges) for row in board.rows if row.id not in twins]
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
                "title": c.title if c.group else heading_of(c.title, columns)["title"],
                "label": (not c.group and heading_of(c.title, columns)["full"]) or label(c),
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
        "notes": _notes(board),
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
        values = {getattr(row, name) for row in board.rows}
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


def parts(method: str) -> list[tuple[str, str]]:
    """Name and title of the method and of the modifier that a name such as `coop+dept` joins."""
    printed = published.methods()
    own = printed[method].parts if method in printed else ()
    return [(part, printed[part].title) for part in own]


Range = tuple[float, float]


def _ranges(board: Board) -> dict[str, Range]:
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


def _row(
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


def _top(board: Board) -> list[dict[str, Any]]:
    """The five best rows under the first conditions, among those that may be compared."""
    return [
        {
            "method": row.method,
            "title": row.marked_title,
            "value": figure(row.values[board.main], board.metric)["value"]
            + (SLIP if board.main in row.slips else ""),
            "state": row.state,
            "provenance": row.provenance,
            "origin": row.origin,
            "rank": rank_text(row.rank) if row.rank else "",
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


def _notes(board: Board) -> list[str]:
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
