"""Where a worker finds its next cell, with as few questions to the file system as possible.

Up to hundreds of workers share a folder, often on one metadata server. So each begins at a place of
its own, knows from one listing what others hold, asks for a record before it claims, and looks more
rarely the longer it finds nothing. Long cells come first, for all to end at about the same time.
"""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from promptbench import records
from promptbench.data.cards import cards
from promptbench.planning import extent
from promptbench.planning.cells import Cell
from promptbench.running import failures
from promptbench.running.training.folder import is_underway
from promptbench.storage import leases

_FIRST_PAUSE = 0.25  # seconds
_IN_A_ROW = 64  # cells that others have finished, before a rest
_PER_LOOK = 1e-4  # seconds of it for each of them and each lease: all workers together look at
# some 5,000 cells a second at most, however many workers there are


class Search:
    """A worker's search through the cells of `out`."""

    def __init__(self, out: Path) -> None:
        self._out, self._view = out, leases.View(out)
        self._began = leases.clock(out)
        self._in_a_row = 0
        self._pauses = self._growing()

    def in_own_order(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells in the order in which this worker looks at them.

        One worker keeps the order that they have. If others are at work already, long ones come
        first, so that none is begun when all others are done; of those that are about as long
        (within a factor of two) each worker begins at a place of its own. Neighbours that share a
        training stay together.
        """
        if not self._view.others():
            return list(cells)
        by_length: dict[int, list[list[Cell]]] = defaultdict(list)
        card_of = functools.cache(cards.load)
        for _, group in groupby(cells, key=lambda cell: cell.training_id):
            together = list(group)
            by_length[extent.passes(together, card_of).bit_length()].append(together)
        order = []
        for _, groups in sorted(by_length.items(), reverse=True):
            first = int(leases.worker(), 16) % len(groups)
            order += groups[first:] + groups[:first]
        return [cell for group in order for cell in group]

    def is_underway(self, cell: Cell) -> bool:
        """Whether another process computes a cell or trains its training, as far as is known."""
        if self._view.is_held(leases.place(self._out, "cell", cell.id)):
            return True
        return is_underway(cell, self._out, self._view.is_held)

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
            rest = _IN_A_ROW * _PER_LOOK * self._view.crowd
            time.sleep(next(leases.pauses(rest, rest)))
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
