"""The page of a method: its card, all its rows, its records, and the commands that repeat them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from promptbench.catalogue import citing
from promptbench.catalogue.method_card import card_named
from promptbench.core.metric import Metric
from promptbench.leaderboard.accepting.copies import place_of
from promptbench.leaderboard.boards.board import ACCURACY_ONLY, Board, BoardRow, of_default_metric
from promptbench.leaderboard.boards.columns import label
from promptbench.leaderboard.boards.leaders import short_over
from promptbench.leaderboard.boards.same_cell import same_cells
from promptbench.leaderboard.checking import known
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.leaderboard.web import error_pages, source_links
from promptbench.leaderboard.web.commands import command_of, settings_of
from promptbench.leaderboard.web.field import Field, fields, places
from promptbench.leaderboard.web.pages import aside
from promptbench.leaderboard.web.table_rows import figure, parts
from promptbench.records import Record
from promptbench.records.scores import per_target
from promptbench.report import published
from promptbench.report.text import NOTHING, SLIP
from promptbench.report.tracks import TRACKS
from promptbench.storage.remembered import Remembered
from promptbench.support.prose import counted
from promptbench.support.safe_text import printable

_ARXIV = re.compile(r"arXiv[: ](\d{4}\.\d{4,5})")


def methods(boards: Sequence[Board], memory: Remembered | None = None) -> list[dict[str, Any]]:
    """Every method that is installed, printed, or has a record; in the order of publication.
    `memory` knows what the classes of promptbench's own say."""
    rows: dict[str, BoardRow] = {}
    for board in boards:
        for row in board.rows:
            rows.setdefault(row.method, row)
    order = list(published.methods())
    names = sorted(
        {*rows, *known.method_names(), *order},
        key=lambda name: (order.index(name) if name in order else len(order), name),
    )
    among = fields(of_default_metric(boards))
    return [_method(name, rows.get(name), boards, among, memory) for name in names]


def _method(
    name: str,
    row: BoardRow | None,
    boards: Sequence[Board],
    among: Sequence[Field],
    memory: Remembered | None,
) -> dict[str, Any]:
    card = card_named(name, memory) if name in known.method_names() else None
    record = row.accepted[0].record if row and row.accepted else None
    printed = published.methods().get(name)
    if card:
        paper = card.facts["paper"]
    else:
        paper = record.method.paper if record else printed.paper if printed else ""
    arxiv = _ARXIV.fullmatch(paper)
    if card:
        title, paradigm = card.title, card.facts["paradigm"]
    elif record:
        title, paradigm = printable(record.method.title), printable(record.method.paradigm)
    else:
        own = published.methods()[name]
        title, paradigm = own.title, own.paradigm
    facts = [("track", f"{printed.track}: {TRACKS[printed.track]}")] if printed else []
    if printed and not card and not record:
        facts += [("paper", paper), ("year", printed.year or "not known"), ("paradigm", paradigm)]
    if record:
        extra = record.method.extra_data or "not stated"
        facts += [("provider", record.method.provider), ("paper", paper)]
        facts.append(("data beyond the few shots", extra))
    protocol = boards[0].protocol if boards else "base_to_new"
    return {
        "name": name,
        "title": title,
        "paradigm": paradigm,
        "card": card,
        "arxiv": arxiv[1] if arxiv else "",
        "facts": [(key, printable(value)) for key, value in facts],
        "parts": parts(name),
        "joined": [m for m in published.methods().values() if name in m.parts],
        "runs": bool(card or record),
        "same_cells": same_cells(name, boards),
        "command": f"promptbench run --method {name} --protocol {protocol} --seeds 1,2,3",
        "places": list(places(name, among)),
        "cite": _cite(name, record),
        "rows": [found for board in boards if (found := _rows(name, board))],
    }


def _cite(name: str, record: Record | None) -> str:
    """BibTeX of the suite and of the method's paper, as far as they are known."""
    ours = name in known.method_names() or name in published.methods()
    return citing.bibliography(
        [name] if ours else [], [record] if record and not ours else []
    ).text()


def _rows(name: str, board: Board) -> dict[str, Any] | None:
    own = [row for row in board.rows if row.method == name]
    if not own:
        return None
    usual = bool(of_default_metric([board]))  # under its rows the records are listed, once
    shown = [column for column in board.columns if column.summary]
    return {
        "protocol": board.protocol,
        "title": known.protocol(board.protocol).cls.title,
        "suite": board.suite,
        "aside": aside(board),
        "seeds": any(row.n for row in own),
        "columns": [label(column) for column in shown],
        "rows": [
            {
                "title": row.marked_title,
                "state": row.state,
                "accuracy_only": row.accuracy_only,
                "shots": row.shots,
                "n": row.n,
                "uses_split": row.uses_split,
                "over": short_over(row, board),
                "slips": [
                    f"{SLIP} {label(c)}: {row.slips[c.key]}"
                    for c in board.columns
                    if c.key in row.slips
                ],
                "note": row.note,
                "source": row.source,
                "links": source_links.links(row.source),
                "origin": row.origin,
                "accepted": row.accepted,
                "cells": [_number(row, c.key, board) for c in shown],
            }
            for row in own
        ],
        "cells": [cell for row in own for cell in _cells(row, board.metric)] if usual else [],
    }


def _number(row: BoardRow, key: str, board: Board) -> dict[str, str]:
    if key not in row.values:
        return {"value": NOTHING, "spread": ""}
    shown = figure(row.values[key], board.metric)
    return {**shown, "value": shown["value"] + (SLIP if key in row.slips else "")}


def _cells(row: BoardRow, metric: Metric) -> list[dict[str, Any]]:
    """The records of a row; those that differ in their seed only stand under one command, with
    their settings once."""
    found: dict[tuple[object, ...], list[tuple[Record, Verdict]]] = {}
    for verdict in row.accepted:
        r = verdict.record
        assert r is not None, "accepted verdicts have a record"
        key = (r.leg.source.key, command_of(r, ()), tuple(settings_of(r).items()))
        found.setdefault(key, []).append((r, verdict))
    return [_cell(sorted(own, key=lambda pair: pair[0].seed), metric) for own in found.values()]


def _cell(own: Sequence[tuple[Record, Verdict]], metric: Metric) -> dict[str, Any]:
    """Records of one cell under several seeds, lowest first."""
    first, seeds = own[0][0], [r.seed for r, _ in own]
    shots = counted(first.source.shots, "shot")
    plain = sum(bool(verdict.accuracy_only) for _, verdict in own)
    some = f": {plain} of {len(own)}" if plain < len(own) else ""
    named = f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
    return {
        "label": printable(f"{first.leg.source.key}, {shots}, {named}, {first.inference}"),
        "states": list(dict.fromkeys(verdict.state for _, verdict in own)),
        "accuracy_only": f"{ACCURACY_ONLY}{some}" if plain else "",
        "command": command_of(first, seeds),
        "settings": [(printable(key), printable(text)) for key, text in settings_of(first).items()],
        "records": [_record(r, verdict, metric) for r, verdict in own],
    }


def _record(r: Record, verdict: Verdict, metric: Metric) -> dict[str, Any]:
    values = list(per_target(r, metric).items())[:3]
    scores = ", ".join(f"{key} {metric.text(value)}" for key, value in values)
    return {
        "label": printable(f"seed {r.seed}: {scores}" + (", …" if len(r.targets) > 3 else "")),
        "page": error_pages.page_of(r),
        "state": verdict.state,
        "accuracy_only": ACCURACY_ONLY if verdict.accuracy_only else "",
        "href": f"records/{place_of(r).as_posix()}/",
        "notes": verdict.notes,
    }
