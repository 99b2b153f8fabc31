"""The local log: one JSON line per event, beside the records it belongs to."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptbench import scores
from promptbench.storage import files, reading
from promptbench.tracking.listener import Epoch, Listener

if TYPE_CHECKING:
    from promptbench.planning.plan import Cell
    from promptbench.records import Record


LOG = "log.jsonl"
_MOST_BYTES = 256 * 2**20
Norms = dict[int, dict[str, float]]  # by epoch, from 0


class JsonLines(Listener):
    """Appends to log.jsonl in each cell's folder."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def _write(self, cell: Cell, event: str, **facts: Any) -> None:
        line = json.dumps({"time": round(time.time(), 3), "event": event, **facts})
        files.append(cell.folder(self._out) / LOG, line)

    def cell_started(self, cell: Cell) -> None:
        self._write(cell, "started", id=cell.id, training=cell.training_id, label=cell.label)

    def epoch_ended(self, cell: Cell, epoch: Epoch) -> None:
        norms = {"norms": dict(epoch.norms)} if epoch.norms else {}
        losses = dict(epoch.losses)
        self._write(cell, "epoch", epoch=epoch.number + 1, lr=epoch.lr, losses=losses, **norms)

    def cell_ended(self, cell: Cell, record: Record) -> None:
        values = {key: round(value, 4) for key, value in scores.per_target(record).items()}
        self._write(cell, "ended", **{scores.DEFAULT: values})

    def cell_failed(self, cell: Cell, reason: str, log: Path) -> None:
        self._write(cell, "failed", reason=reason)


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


def _lines(path: Path) -> Iterator[Any]:
    data = reading.read_bytes(path, _MOST_BYTES, "the log") if path.is_file() else b""
    for line in data.splitlines():
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):  # a process that was killed has left a part of a line
            continue
