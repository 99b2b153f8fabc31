"""What listeners hear of cells that nobody reported while they were computed: from the records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from promptbench import records
from promptbench.core.course import Course
from promptbench.core.recipe import Recipe
from promptbench.planning.cells import Cell
from promptbench.records import Record
from promptbench.running import failures
from promptbench.support.progress import Task
from promptbench.tracking import Epoch, Listener
from promptbench.tracking.listener import Relay


class Heard(Relay):
    """Hands on to a listener, and knows of which cells it has heard the end."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.wants_norms = listener.wants_norms
        self._ended: set[str] = set()

    def hand_on(self, event: str, *facts: Any) -> None:
        if event in ("cell_ended", "cell_failed"):
            self._ended.add(facts[0].id)
        getattr(self._listener, event)(*facts)

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[Task]:
        with self._listener.task(label, total, unit) as task:
            yield task

    def tell_the_rest(self, cells: Sequence[Cell], out: Path) -> None:
        """Tell of the cells that have ended unheard, epochs included; none has norms."""
        trainings: set[str] = set()
        for cell in cells:
            if cell.id in self._ended:
                continue
            if cell.is_done(out):
                record = records.read(cell.folder(out) / records.RECORD)
                self.cell_started(cell)
                if cell.training_id not in trainings:
                    for epoch in _epochs(cell, record):
                        self.epoch_ended(cell, epoch)
                trainings.add(cell.training_id)
                self.cell_ended(cell, record)
            elif (reason := failures.reason_of(cell, out)) is not None:
                self.cell_failed(cell, reason, failures.log_of(cell, out))


def _epochs(cell: Cell, record: Record) -> Iterator[Epoch]:
    if record.training.losses:
        images, shots = len(record.source.keys), record.source.shots
        course = Course.of(Recipe(**cell.recipe), images, shots)
        for number, losses in enumerate(record.training.losses):
            yield Epoch(number, course.lr_at(number), losses, {})
