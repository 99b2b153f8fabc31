"""The local log: one JSON line per event, in log.jsonl beside the record that it belongs to."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptbench.api import Epoch, Tracker
from promptbench.core.metric import DEFAULT
from promptbench.records import scores
from promptbench.storage import files
from promptbench.support import whereabouts
from promptbench.tracking.jsonl import LOG

if TYPE_CHECKING:
    from promptbench.planning.cells import Cell
    from promptbench.records import Record


class JsonLines(Tracker):
    """Appends to log.jsonl in each cell's folder."""

    title = "JSON lines: log.jsonl in each cell's folder"
    in_every_process = True

    def _write(self, cell: Cell, event: str, **facts: Any) -> None:
        line = json.dumps({"time": round(time.time(), 3), "event": event, **facts})
        files.append(cell.folder(self.out) / LOG, line)

    def cell_started(self, cell: Cell) -> None:
        who = {"host": whereabouts.host(), "job": whereabouts.job(), "process": os.getpid()}
        facts = {"training": cell.training_id, "label": cell.label, **who}
        self._write(cell, "started", id=cell.id, **facts)

    def epoch_ended(self, cell: Cell, epoch: Epoch) -> None:
        norms = {"norms": dict(epoch.norms)} if epoch.norms else {}
        losses = dict(epoch.losses)
        self._write(cell, "epoch", epoch=epoch.number + 1, lr=epoch.lr, losses=losses, **norms)

    def cell_ended(self, cell: Cell, record: Record) -> None:
        values = {key: round(value, 4) for key, value in scores.per_target(record).items()}
        self._write(cell, "ended", **{DEFAULT: values})

    def cell_failed(self, cell: Cell, reason: str, log: Path) -> None:
        self._write(cell, "failed", reason=reason)
