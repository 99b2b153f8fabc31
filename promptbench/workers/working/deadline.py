"""The end of a worker's time, and what may still be begun before it.

A training is saved after every epoch and every few minutes within one, so that hardly any is begun
in vain. What else a cell does leaves nothing behind when it is cut off.
"""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from promptbench.errors import UserError
from promptbench.running.executor import Limit
from promptbench.workers.looking_on import pace
from promptbench.workers.looking_on.pace import Paces
from promptbench.workers.looking_on.standing import RECORD, TRAINED
from promptbench.workers.plan.roster import Entry

if TYPE_CHECKING:
    from promptbench.planning.cells import Cell

SLURM_END = "SLURM_JOB_END_TIME"  # seconds since the epoch; set by Slurm since 22.05
_MARGIN, _SHARE, _LEAST = 60.0, 0.1, 5.0  # seconds; a part of a short time instead
_SOON = 3600.0  # seconds before the end from which on the forecast is asked
_AGAIN = 600.0  # seconds after which it is made again


def end_of(
    until: str | None, minutes: float | None, environment: Mapping[str, str] = os.environ
) -> float | None:
    """When this worker's time is over, in seconds since the epoch; None: nobody says.

    Args:
        until: a time such as 2026-01-31T18:00, by this machine's time zone if it names none.
        minutes: from now on.
        environment: where Slurm says when the job ends.

    Raises:
        UserError: both are given, or one is not what it should be.
    """
    if until is not None and minutes is not None:
        raise UserError("--until and --minutes both say when the time is over; give one of them")
    if minutes is not None:
        if not 0 < minutes < 1e7:
            raise UserError(f"--minutes {minutes:g}: it must be more than 0")
        return time.time() + 60 * minutes
    if until is not None:
        return _moment(until)
    try:
        return float(environment[SLURM_END])
    except (KeyError, ValueError):
        return None


def _moment(text: str) -> float:
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise UserError(
            f"--until {text}: it must be a time such as 2026-01-31T18:00 or 2026-01-31T18:00+02:00"
        ) from error


@dataclass
class Deadline(Limit):
    """The moment at which a worker stops by itself, and which cells it may begin before.

    Args:
        end: when the time is over, in seconds since the epoch.
        out: the output folder.
        save_every: seconds between two snapshots of a training.
        now: the clock.
    """

    end: float
    out: Path
    save_every: float
    now: Callable[[], float] = time.time
    stop: float = field(init=False)  # before the end, so that there is time to save
    _entries: Sequence[Entry] = field(default=(), init=False, repr=False)
    _by_id: Mapping[str, Entry] = field(default_factory=dict, init=False, repr=False)
    _paces: Paces | None = field(default=None, init=False)
    _made: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        given = self.end - self.now()
        self.stop = self.end - min(_MARGIN, max(_LEAST, _SHARE * given))

    def know(self, entries: Sequence[Entry]) -> None:
        """Take the cells of the plan, whose times are estimated; others may always be begun."""
        self._entries, self._by_id = entries, {entry.id: entry for entry in entries}

    @property
    def clock(self) -> str:
        """The end, by this machine's time zone."""
        return datetime.datetime.fromtimestamp(self.end).strftime("%Y-%m-%d %H:%M:%S")

    def over(self) -> str | None:
        """Why to stop now; None while there is time."""
        return None if self.now() < self.stop else f"its time ends at {self.clock}"

    def may_begin(self, cell: Cell) -> bool:
        """Whether a cell can be finished, or its training saved, before the end; so it is where
        nothing is known of the time that it takes."""
        left = self.stop - self.now()
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
