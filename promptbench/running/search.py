"""Where a worker finds its next cell, with as few questions to the file system as possible.

Up to hundreds of workers share a folder, often on one metadata server. So each begins at a place of
its own, knows from one listing what others hold, asks for a record before it claims, and looks more
rarely the longer it finds nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from promptbench import records
from promptbench.planning.cells import Cell
from promptbench.running import failures
from promptbench.running.training.folder import is_underway
from promptbench.storage import leases

_FIRST_PAUSE = 0.25  # seconds
_IN_A_ROW, _REST = 64, 1.0  # cells that others have finished, and seconds to rest after so many


class Search:
    """A worker's search through the cells of `out`."""

    def __init__(self, out: Path) -> None:
        self._out, self._view = out, leases.View(out)
        self._began = leases.clock(out)
        self._in_a_row = 0
        self._pauses = self._growing()

    def in_own_order(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells from a place on that is this worker's own, if others are at work already.

        Neighbours that share a training stay together.
        """
        if not self._view.others():
            return list(cells)
        groups = [list(group) for _, group in groupby(cells, key=lambda cell: cell.training_id)]
        first = int(leases.worker(), 16) % max(len(groups), 1)
        return [cell for group in groups[first:] + groups[:first] for cell in group]

    def is_underway(self, cell: Cell) -> bool:
        """Whether another process computes a cell or trains its training, as far as is known."""
        if self._view.is_held(leases.place(self._out, "cell", cell.id)):
            return True
        return is_underway(cell, self._out, self._view)

    def is_settled(self, cell: Cell) -> bool:
        """Whether a cell was finished, or has failed, since the search began.

        Records are renamed into place when all else is written: one of this time is whole. An older
        one may be damaged, or nobody would search for its cell.
        """
        if not self._is_settled(cell):
            self._in_a_row = 0
            return False
        self._in_a_row += 1
        if self._in_a_row % _IN_A_ROW == 0:
            time.sleep(next(leases.pauses(_REST, _REST)))
        return True

    def _is_settled(self, cell: Cell) -> bool:
        try:
            written = (cell.folder(self._out) / records.RECORD).stat().st_mtime
        except FileNotFoundError:
            return failures.reason_of(cell, self._out) is not None
        return written >= self._began

    def pause(self) -> float:
        """Seconds to wait when nothing is free, more each time."""
        return next(self._pauses)

    def had_success(self) -> None:
        """Begin with short pauses again."""
        self._pauses = self._growing()

    def again(self) -> None:
        """Look at what others hold now."""
        self._view.refresh()

    def _growing(self) -> Iterator[float]:
        for pause in leases.pauses(_FIRST_PAUSE, 5.0):
            yield min(pause, self._view.pause)
