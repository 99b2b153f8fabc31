"""The end of a worker's time, and what may still be begun before it.

A training is saved after every epoch and every few minutes within one, so that hardly any is begun
in vain. What else a cell does leaves nothing behind when it is cut off: an attempt that had most of
the time counts (`promptbench.running.attempts`), or a worker that is started again and again would
never come to an end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from promptbench.running.executor import Limit
from promptbench.support.stopping import Stopped
from promptbench.workers.looking_on import pace
from promptbench.workers.looking_on.pace import Paces
from promptbench.workers.looking_on.standing import RECORD, TRAINED
from promptbench.workers.plan.roster import Entry
from promptbench.workers.working.span import Span

if TYPE_CHECKING:
    from promptbench.planning.cells import Cell

_SOON = 3600.0  # seconds before the end from which on the forecast is asked
_AGAIN = 600.0  # seconds after which it is made again


@dataclass
class Deadline(Limit):
    """The moment at which a worker stops by itself, and which cells it may begin before.

    Args:
        span: its time.
        out: the output folder.
        save_every: seconds between two snapshots of a training.
        clock: seconds since the epoch.
    """

    span: Span
    out: Path
    save_every: float
    clock: Callable[[], float] = time.time
    _first: float = field(default=math.inf, init=False)  # when this process could begin with cells
    _entries: Sequence[Entry] = field(default=(), init=False, repr=False)
    _by_id: Mapping[str, Entry] = field(default_factory=dict, init=False, repr=False)
    _paces: Paces | None = field(default=None, init=False)
    _made: float = field(default=0.0, init=False)

    def know(self, entries: Sequence[Entry]) -> None:
        """Take the cells of the plan, whose times are estimated; others may always be begun."""
        self._entries, self._by_id = entries, {entry.id: entry for entry in entries}

    def over(self) -> str | None:
        """Why to stop now; None while there is time."""
        return None if self.now() < self.span.stop else f"its time ends at {self.span.clock}"

    def now(self) -> float:
        """The time, in seconds since the epoch."""
        return self.clock()

    def cut_off(self, began: float, stop: Stopped) -> bool:
        """Whether a stop came because the time is over, most of which went to a cell begun then."""
        now = self.now()
        return self.span.is_why(stop, now) and now - began >= (now - self._first) / 2

    def may_begin(self, cell: Cell) -> bool:
        """Whether a cell can be finished, or its training saved, before the end; so it is where
        nothing is known of the time that it takes."""
        self._first = min(self._first, self.now())
        left = self.span.stop - self.now()
        entry = self._by_id.get(cell.id)
        if left >= _SOON or entry is None:
            return left > 0
        trained = (self.out / entry.training_folder / TRAINED).is_file()
        paces = self._known()
        whole = paces.seconds(entry, trained)
        if whole is None or whole <= left:
            return left > 0
        first = None if trained else paces.epoch(entry)
        return first is not None and min(first, self.save_every) <= left

    def _known(self) -> Paces:
        """The paces of the cells that are done, looked up now and then."""
        if self._paces is None or self.now() - self._made >= _AGAIN:
            done = {e.id for e in self._entries if (self.out / e.folder / RECORD).is_file()}
            self._paces, self._made = pace.of_ended(self._entries, done, self.out), self.now()
        return self._paces
