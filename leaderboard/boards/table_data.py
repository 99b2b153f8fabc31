"""What the scripts of a board's table need beside its cells, small enough for hundreds of rows.

`packed`: rows in their order, as `ids`; `facts`, of each the different `values` and by row which of
them holds (`rows`, empty where all have the first); `values` (mean, interval, spread as text) and
`differences` to the best published number, as lists in the order of `columns`, trailing nothings
left out. `scores`: of our own rows the `seeds` and `scores` (column by column, one per seed), from
which `compare.js` computes what `promptbench compare` does; they grow with the number of records.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from promptbench.core.selection import USUAL, name_of
from promptbench.leaderboard.boards.board import Board, BoardRow
from promptbench.leaderboard.boards.columns import kind, label
from promptbench.mixing import variant_of
from promptbench.report import tracks
from promptbench.report.outcomes import bounds_of_difference

_NOTHING = 0  # in the place of a column without a number
_DIGITS = 11  # significant ones: differences of equal scores stay below compare.js's NOISE


def packed(data: Mapping[str, Any], board: Board) -> dict[str, Any]:
    """Return the data of a board's plots with what its table needs, rows in their order."""
    columns = board.columns
    numbers = {column.key: i for i, column in enumerate(columns)}
    alike = twins(board)
    facts = [
        {
            **{name: fact for name, fact in given.items() if name not in ("id", "values")},
            **_facts(row, board),
            "twin": alike.get(row.id),
        }
        for given, row in zip(data["rows"], board.rows, strict=True)
    ]
    described = [
        {
            "key": column.key,
            "label": label(column),
            "group": column.group,
            "title": column.title,
            "kind": kind(column, columns),
            "parts": [numbers[key] for key in column.parts if key in numbers],
        }
        for column in columns
    ]
    low, high = bounds_of_difference(board.metric)
    about = {
        "name": board.metric.name,
        "higher": board.metric.higher,
        "bounds": [_finite(low), _finite(high)],
    }
    return {
        **{name: own for name, own in data.items() if name != "rows"},
        "protocol": board.protocol,
        "suite": board.suite.name,
        "onOneData": board.on_one_data,
        "metric": {**data["metric"], **about},
        "columns": described,
        "ids": [row.id for row in board.rows],
        "facts": _interned(facts),
        "values": [_short([_value(g["values"].get(key)) for key in numbers]) for g in data["rows"]],
        "differences": [
            _short([_rounded(row.differences.get(key), 6) for key in numbers]) for row in board.rows
        ],
    }


def _interned(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[Any]]]:
    """Facts of rows by name: each different one once, and the place of each row's."""
    found = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        places: dict[str, int] = {}
        own = [places.setdefault(json.dumps(row.get(name)), len(places)) for row in rows]
        values = [json.loads(text) for text in places]
        found[name] = {"values": values, "rows": own if len(values) > 1 else []}
    return found


def scores(board: Board) -> dict[str, Any]:
    """Return seeds and scores of our own rows by id; empty without any."""
    found = {}
    for row in board.rows:
        seeds = sorted({seed for value in row.values.values() for seed, _ in value.by_seed})
        if seeds:
            own = _short([_scores(row, column.key, seeds) for column in board.columns])
            found[row.id] = {"seeds": seeds, "scores": own}
    return found


def twins(board: Board) -> dict[str, str]:
    """Return rows that say the same as another one under another count of shots (a method that is
    not trained stands beside each), with the row of the largest count in their place."""
    found: dict[str, str] = {}
    first: dict[object, str] = {}
    for row in sorted(board.rows, key=lambda row: -row.shots):
        means = tuple(sorted((key, value.mean) for key, value in row.values.items()))
        facts = (row.method, row.title, row.inference, row.preset, row.backbone, row.provenance)
        same = (*facts, row.source, row.note, means)
        if first.setdefault(same, row.id) != row.id and row.paradigm == "zero-shot":
            found[row.id] = first[same]
    return found


def _facts(row: BoardRow, board: Board) -> dict[str, Any]:
    keys = [column.key for column in board.columns]
    return {
        "provenance": row.provenance,
        "rank": row.rank,
        "best": [i for i, key in enumerate(keys) if key in row.best],
        "second": [i for i, key in enumerate(keys) if key in row.second],
        "seconds": _rounded(row.seconds, 5),
        "drawn": not any(value.fixed for value in row.values.values()),
        **_conditions(row),
    }


def _conditions(row: BoardRow) -> dict[str, Any]:
    """What a row competes by, where it is not as papers have it: `selection` as `--select` calls
    the rule."""
    found: dict[str, Any] = {}
    if row.settings != (tracks.PAPER,):
        found["settings"] = list(row.settings)
    if row.selection != USUAL and row.settings != tracks.ANY:
        found["selection"] = name_of(row.selection)
    if row.around:
        found["around"] = row.around
    records = [verdict.record for verdict in row.accepted if verdict.record]
    if records and any(
        variant_of(records[0])[3:6]
    ):  # which the name of a method does not stand for
        found["changed"] = True
    return found


def _scores(row: BoardRow, key: str, seeds: Sequence[int]) -> list[float | None]:
    by_seed = dict(row.values[key].by_seed) if key in row.values else {}
    return _short([_rounded(by_seed.get(seed), _DIGITS) for seed in seeds])


def _value(value: Sequence[Any] | None) -> list[Any] | int:
    if value is None:
        return _NOTHING
    mean, spread, *more = value
    ends = spread and [_rounded(end, 7) for end in spread]
    return _short([_rounded(mean, _DIGITS), ends, *more])


def _short(values: list[Any]) -> list[Any]:
    """A list without the nothings at its end."""
    while values and values[-1] in (None, "", []):
        values.pop()
    return values


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else float(f"{value:.{digits}g}")


def _finite(value: float) -> float | None:
    return value if abs(value) != float("inf") else None
