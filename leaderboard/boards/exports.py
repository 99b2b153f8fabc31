"""The boards for machines: `board.json`, all rows with their numbers, and `feed.xml`, an Atom feed
of the rows that come from records. docs/leaderboard.md describes both."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

from promptbench.leaderboard.accepting.copies import place_of
from promptbench.leaderboard.boards.board import Board, BoardColumn, BoardRow, of_default_metric
from promptbench.leaderboard.checking import known
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.statistics import Estimate
from promptbench.support.version import __version__

FORMAT = "promptbench-board/1"
MOST = 200  # entries of a feed
_ATOM = "http://www.w3.org/2005/Atom"
_NAMES = uuid.uuid5(uuid.NAMESPACE_DNS, "promptbench.leaderboard.feed")


def board_json(boards: Sequence[Board]) -> str:
    """All boards as JSON, one row a line; the same boards give the same text."""
    head = {"format": FORMAT, "promptbench": __version__}
    parts = [_board(board) for board in boards]
    return _text(head)[:-1] + ',\n"boards": [\n' + ",\n".join(parts) + "\n]}\n"


def _board(board: Board) -> str:
    metric = board.metric
    facts = {
        "protocol": board.protocol,
        "protocol_version": known.protocol(board.protocol).cls.version,
        "suite": board.suite.name,
        "comparable": board.suite.comparable,
        "metric": {
            "name": metric.name,
            "unit": metric.unit,
            "higher_is_better": metric.higher,
            "bounds": [end if math.isfinite(end) else None for end in metric.bounds],
        },
        "ranks_by": board.main,
        "on_one_data": board.on_one_data,
        "columns": [_column(column) for column in board.columns],
    }
    rows = ",\n".join(_text(_row(row)) for row in board.rows)
    return _text(facts)[:-1] + ',\n"rows": [\n' + rows + "\n]}"


def _column(column: BoardColumn) -> dict[str, Any]:
    own = {"key": column.key, "group": column.group, "title": column.title}
    return own | {"average": column.summary, "datasets": column.members or None}


def _row(row: BoardRow) -> dict[str, Any]:
    return {
        "method": row.method,
        "title": row.title,
        "paradigm": row.paradigm,
        "track": row.track,
        "state": row.state,
        "settings": row.preset,
        "settings_by": list(row.settings),
        "selection": row.selection if row.state != "published" else None,
        "inference": row.inference,
        "uses_split": row.uses_split,
        "backbone": row.backbone,
        "shots": row.shots,
        "seeds": row.n or None,
        "rank": list(row.rank) if row.rank else None,
        "learned_parameters": row.parameters,
        "source": row.source or None,
        "origin": row.origin or None,
        "note": row.note or None,
        "mixed": list(row.mixed),
        "values": {key: _value(value) for key, value in row.values.items()},
        "average_over": row.over,
        "contradictions": row.slips,
        "records": [f"records/{place_of(v.record).as_posix()}/" for v in row.accepted if v.record],
    }


def _value(value: Estimate) -> dict[str, Any]:
    """Mean; where they are known the ends of the interval over seeds and of that over images."""
    found: dict[str, Any] = {"mean": round(value.mean, 6)}
    for name, ends in (
        ("interval", None if value.half_width is None else value.interval),
        ("seeds_between", value.span),
        ("images_interval", value.images),
    ):
        if ends is not None:
            found[name] = [round(end, 6) for end in ends]
    return found


def _text(plain: Any) -> str:
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def has_feed(accepted: Sequence[Verdict]) -> bool:
    """Whether a feed of the boards with these records has an entry: one says when it was made."""
    return any(_read(v.record.created) is not None for v in accepted if v.record)


def feed(boards: Sequence[Board], left_out: Callable[[str], object]) -> str | None:
    """The rows that come from records as an Atom feed, newest first, at most `MOST`; None without.

    Links are relative: they hold wherever the site lies. `left_out` hears of rows whose records do
    not say when they were made.
    """
    rows = sorted(_of_records(boards, left_out), key=lambda found: found[0], reverse=True)[:MOST]
    if not rows:
        return None
    top = ElementTree.Element("feed", {"xmlns": _ATOM})
    _add(top, "id", _identity("feed"))
    _add(top, "title", "promptbench: new results")
    _add(top, "updated", _moment(rows[0][0]))
    ElementTree.SubElement(top, "link", {"rel": "self", "href": "feed.xml"})
    ElementTree.SubElement(top, "link", {"rel": "alternate", "href": "index.html"})
    _add(ElementTree.SubElement(top, "author"), "name", "promptbench")
    for created, board, row in rows:
        _entry(top, created, board, row)
    ElementTree.indent(top)
    return ElementTree.tostring(top, "unicode", xml_declaration=True) + "\n"


def _of_records(
    boards: Sequence[Board], left_out: Callable[[str], object]
) -> Iterator[tuple[datetime, Board, BoardRow]]:
    for board in of_default_metric(boards):
        for row in board.rows:
            moments = [_read(v.record.created) for v in row.accepted if v.record]
            known_ones = [moment for moment in moments if moment is not None]
            if known_ones:
                yield max(known_ones), board, row
            elif moments:
                left_out(f"of the feed, {row.title}: its records do not say when they were made")


def _entry(top: ElementTree.Element, created: datetime, board: Board, row: BoardRow) -> None:
    protocol = known.protocol(board.protocol).cls.title
    entry = ElementTree.SubElement(top, "entry")
    who = (board.suite.name, board.protocol, row.method, row.title)
    circumstances = (row.preset, row.inference, row.backbone, str(row.shots))
    _add(entry, "id", _identity("/".join((*who, *circumstances))))
    _add(entry, "title", f"{row.title}: {protocol}, suite {board.suite.name}")
    _add(entry, "updated", _moment(created))
    page = f"methods/{row.method}.html"
    ElementTree.SubElement(entry, "link", {"rel": "alternate", "href": page})
    _add(entry, "summary", _summary(board, row))


def _summary(board: Board, row: BoardRow) -> str:
    column, value = board.main_column, row.values.get(board.main)
    name = f"{column.group}, {column.title}" if column.group else column.title
    number = "not complete" if value is None else board.metric.text(value.mean)
    seeds = f"{row.n} seed{'' if row.n == 1 else 's'}"
    text = f"{name}{board.metric.in_unit}: {number}; {seeds}, {row.shots} shots, {row.state}"
    return f"{text}. {board.suite.banner}" if board.suite.banner else text


def _add(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, name).text = text


def _identity(name: str) -> str:
    return uuid.uuid5(_NAMES, name).urn


def _read(created: str) -> datetime | None:
    """When a record says it was made, without a zone as UTC; None if that is not a time."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
