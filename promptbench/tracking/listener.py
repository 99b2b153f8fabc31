"""What listeners are told. `Listener` does nothing and is the base; `Listeners` are several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from promptbench.progress import Reporter, Task

if TYPE_CHECKING:
    from promptbench.planning.plan import Cell, Plan
    from promptbench.records import Record


@dataclass(frozen=True)
class Epoch:
    """An epoch of a training that ended.

    `number` counts from 0; `losses` are epoch means of the unweighted terms; `norms` are those of
    the image tower's tokens (`promptbench.training.watching`), empty where nobody asked for them.
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

    def training_resumed(self, cell: Cell, earlier: Sequence[Epoch]) -> None:
        """A cell's training goes on after these epochs; their norms were told when they ended."""

    def epoch_ended(self, cell: Cell, epoch: Epoch) -> None:
        """An epoch of a cell's training ended."""

    def cell_ended(self, cell: Cell, record: Record) -> None:
        """A cell's record is written."""

    def cell_failed(self, cell: Cell, reason: str, log: Path) -> None:
        """A cell failed; the run goes on with the others."""

    def waiting(self, count: int) -> None:
        """All cells that are left are being computed by other processes."""

    def close(self) -> None:
        """The run is over."""


class _Tasks(Task):
    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks

    def advance(self, count: int = 1, note: str = "") -> None:
        for task in self._tasks:
            task.advance(count, note)


class Listeners(Listener):
    """Several listeners as one."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._all = tuple(listeners)
        self.wants_norms = any(each.wants_norms for each in self._all)

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[Task]:
        with ExitStack() as stack:
            tasks = [stack.enter_context(each.task(label, total, unit)) for each in self._all]
            yield _Tasks(tasks)

    def message(self, text: str) -> None:
        for each in self._all:
            each.message(text)

    def planned(self, plan: Plan) -> None:
        for each in self._all:
            each.planned(plan)

    def cell_started(self, cell: Cell) -> None:
        for each in self._all:
            each.cell_started(cell)

    def training_resumed(self, cell: Cell, earlier: Sequence[Epoch]) -> None:
        for each in self._all:
            each.training_resumed(cell, earlier)

    def epoch_ended(self, cell: Cell, epoch: Epoch) -> None:
        for each in self._all:
            each.epoch_ended(cell, epoch)

    def cell_ended(self, cell: Cell, record: Record) -> None:
        for each in self._all:
            each.cell_ended(cell, record)

    def cell_failed(self, cell: Cell, reason: str, log: Path) -> None:
        for each in self._all:
            each.cell_failed(cell, reason, log)

    def waiting(self, count: int) -> None:
        for each in self._all:
            each.waiting(count)

    def close(self) -> None:
        for each in self._all:
            each.close()
