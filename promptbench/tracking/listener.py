"""What listeners hear. `Listener` does nothing and is the base; `Listeners` are several."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptbench.support.progress import Reporter, Task

if TYPE_CHECKING:
    from promptbench.planning.cells import Cell
    from promptbench.planning.plan import Plan
    from promptbench.records import Record

_EVERY = 0.1  # seconds between two reports of a task's progress


@dataclass(frozen=True)
class Epoch:
    """An epoch of a training that ended.

    `number` counts from 0; `losses` are epoch means of the unweighted terms; `norms` are those of
    the image tower's tokens (`promptbench.running.training.watching`), empty where nobody asked for
    them.
    """

    number: int
    lr: float
    losses: Mapping[str, float]
    norms: Mapping[str, float]


class Listener(Reporter):
    """Told what happens; every method may be left out.

    `wants_norms`: epochs come with the norms of tokens, which cost a look at some images.
    """

    wants_norms: bool = False

    def planned(self, plan: Plan) -> None:
        """The plan is made."""

    def cell_started(self, cell: Cell) -> None:
        """A cell begins."""

    def training_resumed(self, cell: Cell, epochs: Sequence[Epoch]) -> None:
        """A cell's training goes on after `epochs`, which ended before, without norms."""

    def epoch_ended(self, cell: Cell, epoch: Epoch) -> None:
        """An epoch of a cell's training ended."""

    def cell_ended(self, cell: Cell, record: Record) -> None:
        """A cell's record is written."""

    def cell_failed(self, cell: Cell, reason: str, log: Path) -> None:
        """A cell failed; the run goes on with the others."""

    def waiting(self, count: int) -> None:
        """All cells that are left are being computed by other processes."""

    def watched(self, left: float | None, note: str) -> None:
        """Other machines compute: the rest takes `left` more seconds (None: not known), and `note`
        says in a few words who is at it."""

    def close(self) -> None:
        """The run is over."""


class Gathered(Task, ABC):
    """Passes progress on now and then, since steps may be short."""

    def __init__(self) -> None:
        self._count, self._note, self._passed = 0, "", time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        self._count, self._note = self._count + count, note
        if time.monotonic() - self._passed >= _EVERY:
            self.flush()

    def flush(self) -> None:
        """Pass on what is left, at the end."""
        if self._count:
            self.passed_on(self._count, self._note)
        self._count, self._passed = 0, time.monotonic()

    @abstractmethod
    def passed_on(self, count: int, note: str) -> None:
        """So many units have been done since the last call; `note` is the latest."""


class Relay(Listener, ABC):
    """Hands on all that it hears, by the name of the method; tasks are not among it."""

    @abstractmethod
    def hand_on(self, event: str, *facts: Any) -> None:
        """`event` was called with `facts`."""

    def message(self, text: str) -> None:
        self.hand_on("message", text)

    def planned(self, plan: Plan) -> None:
        self.hand_on("planned", plan)

    def cell_started(self, cell: Cell) -> None:
        self.hand_on("cell_started", cell)

    def training_resumed(self, cell: Cell, epochs: Sequence[Epoch]) -> None:
        self.hand_on("training_resumed", cell, epochs)

    def epoch_ended(self, cell: Cell, epoch: Epoch) -> None:
        self.hand_on("epoch_ended", cell, epoch)

    def cell_ended(self, cell: Cell, record: Record) -> None:
        self.hand_on("cell_ended", cell, record)

    def cell_failed(self, cell: Cell, reason: str, log: Path) -> None:
        self.hand_on("cell_failed", cell, reason, log)

    def waiting(self, count: int) -> None:
        self.hand_on("waiting", count)

    def watched(self, left: float | None, note: str) -> None:
        self.hand_on("watched", left, note)


class _Tasks(Task):
    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks

    def advance(self, count: int = 1, note: str = "") -> None:
        for task in self._tasks:
            task.advance(count, note)


class Listeners(Relay):
    """Several listeners as one."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._all = tuple(listeners)
        self.wants_norms = any(each.wants_norms for each in self._all)

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[Task]:
        with ExitStack() as stack:
            tasks = [stack.enter_context(each.task(label, total, unit)) for each in self._all]
            yield _Tasks(tasks)

    def hand_on(self, event: str, *facts: Any) -> None:
        for each in self._all:
            getattr(each, event)(*facts)

    def close(self) -> None:
        with ExitStack() as stack:  # each is closed, also when a signal ends the closing of another
            for each in reversed(self._all):
                stack.callback(each.close)
