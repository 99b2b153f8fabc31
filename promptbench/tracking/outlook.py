"""How much longer a run takes, judged by how long its cells have taken so far.

A training's time is that of its steps, by method; what else a cell takes goes by the images that it
scores. A method that has not been seen yet is taken to be as fast as the others; before any of them
has ended an epoch, nothing is said of trainings.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from promptbench.planning import extent

if TYPE_CHECKING:
    from promptbench.planning.cells import Cell


@dataclass
class _Pace:
    """Seconds for an amount of work, of each method."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    work: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, method: str, seconds: float, work: float) -> None:
        self.seconds[method] += seconds
        self.work[method] += work

    def of(self, method: str) -> float | None:
        """Seconds per unit of work; of a method that is not known, those of all others together."""
        if self.work.get(method):
            return self.seconds[method] / self.work[method]
        work = sum(self.work.values())
        return sum(self.seconds.values()) / work if work else None


@dataclass(frozen=True)
class _Work:
    """A cell and what it has to do."""

    cell: Cell
    steps: int
    steps_per_epoch: int
    images: int


def _work(cell: Cell) -> _Work:
    per_epoch = extent.steps_per_epoch(cell) if cell.by_steps else 0
    return _Work(cell, extent.steps(cell), per_epoch, extent.scored_images(cell))


@dataclass
class _Running:
    work: _Work
    last: float  # when its last epoch ended, or itself began
    epochs: int = 0  # done


class Outlook:
    """The cells of a run: how many are done, and what is left of it."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._work: dict[str, _Work] = {}  # of all cells
        self._waiting: dict[str, None] = {}  # the ids of cells, in order
        self._running: dict[str, _Running] = {}
        self._trained: set[str] = set()
        self._steps, self._images = _Pace(), _Pace()
        self._at_once = 1
        self._began: float | None = None
        self.total = self.done = 0

    def plan(self, cells: Sequence[Cell]) -> None:
        """More cells are to be computed."""
        self.total += len(cells)
        for cell in cells:
            self._work[cell.id] = _work(cell)
            self._waiting[cell.id] = None

    def started(self, cell: Cell) -> None:
        """A cell begins, perhaps again."""
        now = self._now()
        self._began = now if self._began is None else self._began
        self._waiting.pop(cell.id, None)
        work = self._work.get(cell.id) or _work(cell)
        self._running[cell.id] = _Running(work, now)
        self._at_once = max(self._at_once, len(self._running))

    def epoch_ended(self, cell: Cell, number: int) -> None:
        """An epoch, counted from 0, of a cell's training ended."""
        running = self._running.get(cell.id)
        if running is None:
            return
        now = self._now()
        self._steps.add(cell.method.name, now - running.last, running.work.steps_per_epoch)
        running.last, running.epochs = now, number + 1
        self._trained.add(cell.training_id)

    def ended(self, cell: Cell, failed: bool = False) -> None:
        """A cell has its record, or failed."""
        running = self._running.pop(cell.id, None)
        self._waiting.pop(cell.id, None)
        self.done += 1
        if running is not None and not failed:
            seconds = self._now() - running.last
            self._images.add(cell.method.name, seconds, running.work.images)

    @property
    def elapsed(self) -> float:
        """Seconds since the first cell began."""
        return 0.0 if self._began is None else self._now() - self._began

    def left(self) -> float | None:
        """Seconds until all cells are done; None while that is unknown."""
        running = [self._of_running(each) for each in self._running.values()]
        trained = self._trained | {r.work.cell.training_id for r in self._running.values()}
        waiting = []
        for each in map(self._work.__getitem__, self._waiting):
            waiting.append(self._seconds(each, 0 if each.cell.training_id in trained else None))
            trained.add(each.cell.training_id)
        known = [seconds for seconds in (*running, *waiting) if seconds is not None]
        if len(known) < len(running) + len(waiting):
            return None
        longest = max((seconds for seconds in running if seconds is not None), default=0.0)
        return max(sum(known) / self._at_once, longest)

    def _of_running(self, running: _Running) -> float | None:
        work = running.work
        loads = not running.epochs and work.cell.training_id in self._trained
        steps = 0 if loads else max(work.steps - running.epochs * work.steps_per_epoch, 0)
        whole = self._seconds(work, steps)
        return None if whole is None else max(0.0, whole - (self._now() - running.last))

    def _seconds(self, work: _Work, steps: int | None = None) -> float | None:
        """What a cell takes with so many steps (None: all of its training's)."""
        method = work.cell.method.name
        count = work.steps if steps is None else steps
        per_step = self._steps.of(method) if count else 0.0
        if per_step is None:
            return None
        return count * per_step + work.images * (self._images.of(method) or 0.0)
