"""Whether the search that a record names can have chosen its settings: the shipped space, its
trials, and the best of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from promptbench import spaces
from promptbench.errors import UserError
from promptbench.leaderboard.checking import known
from promptbench.records import Record
from promptbench.records.tuning import ENGINE, problem


def reasons(record: Record) -> Iterator[str]:
    """What contradicts the search of a record; nothing of a record without one."""
    info = record.tuning
    wrong = problem(record.preset, info)
    if wrong is not None:
        yield wrong
    if wrong is not None or info is None or info.engine != ENGINE:
        return
    method = known.method(record.method.name)
    try:
        space = spaces.load(method)
    except UserError as error:
        yield str(error)
        return
    if _plain(space.as_data()) != _plain(info.space):
        yield f"the search space is not the one of {method.name}"
        return
    drawn = _plain(spaces.drawn(space, method.name, info.budget - 1))
    for number, (wanted, trial) in enumerate(zip(drawn, info.trials[1:], strict=True), 2):
        if _plain(trial["values"]) != wanted:
            yield f"trial {number} does not have the values that the search draws"
            return


def chosen(record: Record, settings: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Settings with what a record's search has chosen; the first trial is these settings."""
    info = record.tuning
    if info is None or info.chosen == 1:
        return settings
    found = {cls: dict(values) for cls, values in settings.items()}
    for name, value in info.values.items():
        cls, _, own = name.rpartition(".")
        if cls in found:
            found[cls][own] = value
    return found


def _plain(data: Any) -> Any:
    return json.loads(json.dumps(data))
