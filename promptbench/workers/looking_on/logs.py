"""What the local logs of cells say of time: when a cell began, how far it is, what it took.

Differences are taken within one log and one computation only, so that the clocks of several
machines need not agree.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptbench.errors import UserError
from promptbench.storage.reading import read_bytes
from promptbench.tracking.jsonl import LOG

_MOST = 64 * 2**20  # bytes of one log


@dataclass(frozen=True)
class Attempt:
    """The last computation of a cell, as its log tells it.

    Args:
        began: seconds since the epoch, by the clock of the machine that computed.
        host, job: who computed; None where the log does not say it.
        epoch: epochs of its training that had ended when the last line was written.
        per_epoch: seconds of an epoch, None if it has not ended one.
        rest: seconds of all else, once it has ended.
        ended: whether it has its record.
    """

    began: float
    host: str | None = None
    job: str | None = None
    epoch: int = 0
    per_epoch: float | None = None
    rest: float | None = None
    ended: bool = False


def last_attempt(folder: Path) -> Attempt | None:
    """The last computation of the cell in a folder; None without a log that tells of one."""
    path = folder / LOG
    try:
        data = read_bytes(path, _MOST, "the log") if path.is_file() else b""
    except UserError:  # it went meanwhile, or is of no use: nothing hangs on it
        return None
    return of_lines(_parsed(data))


def of_lines(lines: Iterable[Any]) -> Attempt | None:
    """`last_attempt` of a log's lines as plain data; what is not a line of a log is passed over."""
    mine: list[dict[str, Any]] = []
    for line in lines:
        if not isinstance(line, dict) or not isinstance(line.get("time"), int | float):
            continue
        mine = [line] if line.get("event") == "started" else [*mine, line] if mine else []
    return _of_one(mine) if mine else None


def _of_one(lines: Sequence[dict[str, Any]]) -> Attempt:
    began = float(lines[0]["time"])
    epochs = [line for line in lines if line.get("event") == "epoch"]
    times = [float(line["time"]) for line in epochs]
    ends = [float(line["time"]) for line in lines if line.get("event") == "ended"]
    between = [later - earlier for earlier, later in itertools.pairwise(times)]
    # The first epoch's time holds what comes before it: it counts where there is no other.
    per_epoch = sum(between) / len(between) if between else times[0] - began if times else None
    trained = 0.0 if per_epoch is None else per_epoch * len(times)
    number = epochs[-1].get("epoch") if epochs else 0
    return Attempt(
        began,
        _text(lines[0].get("host")),
        _text(lines[0].get("job")),
        number if isinstance(number, int) else 0,
        per_epoch,
        max(ends[-1] - began - trained, 0.0) if ends else None,
        bool(ends),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _parsed(data: bytes) -> Iterable[Any]:
    for line in data.splitlines():
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):  # torn by a kill
            continue
