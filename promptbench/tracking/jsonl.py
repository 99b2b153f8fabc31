"""Reading the local logs, whose lines `promptbench.trackers.jsonl` writes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from promptbench.storage import reading

LOG = "log.jsonl"
_MOST_BYTES = 256 * 2**20
Norms = dict[int, dict[str, float]]  # by epoch, from 0


def norms_of(logs: Iterable[Path]) -> dict[str, Norms]:
    """The norms that logs hold, by training: cells that share one need not have trained it.

    Of an epoch that was logged twice, the last counts; a log that is not there holds none.
    """
    found: dict[str, Norms] = defaultdict(dict)
    for path in logs:
        training = ""
        for line in _lines(path):
            match line:
                case {"event": "started", "training": str(training)}:
                    pass
                case {"event": "epoch", "epoch": int(number), "norms": dict(norms)}:
                    found[training][number - 1] = norms
    return found


def where(log: Path) -> dict[str, Any]:
    """The host and the batch job that have computed a cell, as its log holds them; else nothing."""
    found: dict[str, Any] = {}
    for line in _lines(log):
        match line:
            case {"event": "started", "host": str(host), "job": job}:
                found = {"host": host, "job": job}
    return found


def _lines(path: Path) -> Iterator[Any]:
    data = reading.read_bytes(path, _MOST_BYTES, "the log") if path.is_file() else b""
    for line in data.splitlines():
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):  # a process that was killed has left a part of a line
            continue
