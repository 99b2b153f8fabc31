"""The local log: one JSON line per event, beside the records it belongs to."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptbench.storage import files
from promptbench.tracking import Listener

if TYPE_CHECKING:
    from promptbench.planning.plan import Cell
    from promptbench.records import Record


class JsonLines(Listener):
    """Appends to log.jsonl in each cell's folder."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def _write(self, cell: Cell, event: str, **facts: Any) -> None:
        line = json.dumps({"time": round(time.time(), 3), "event": event, **facts})
        files.append(cell.folder(self._out) / "log.jsonl", line)

    def cell_started(self, cell: Cell) -> None:
        self._write(cell, "started", id=cell.id, label=cell.label)

    def epoch_ended(self, cell: Cell, epoch: int, lr: float, losses: Mapping[str, float]) -> None:
        self._write(cell, "epoch", epoch=epoch + 1, lr=lr, losses=dict(losses))

    def cell_ended(self, cell: Cell, record: Record) -> None:
        accuracy = {target.key: round(target.accuracy, 4) for target in record.targets}
        self._write(cell, "ended", accuracy=accuracy)

    def cell_failed(self, cell: Cell, reason: str, log: Path) -> None:
        self._write(cell, "failed", reason=reason)
