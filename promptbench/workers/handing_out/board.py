"""What is left of a run whose driver hands out cells: which group comes next, and who may take it.

Cells that share a training form a group, and a worker gets all of a group that it can compute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from promptbench.planning.cells import Cell
from promptbench.running import failures
from promptbench.workers.handing_out import claims

DEATHS = 2  # of workers on one cell, before it is left alone


@dataclass
class Task:
    """Cells of one training that a worker computes; `held` are the claims of one that cannot."""

    cells: list[Cell]
    held: ExitStack = field(default_factory=ExitStack)


class Board:
    """The cells of a run that have not ended."""

    def __init__(self, cells: Sequence[Cell], out: Path) -> None:
        self.out = out
        self.left = {cell.id: cell for cell in cells}
        self._handed: dict[str, Task] = {}  # by the ids of cells
        self._deaths: Counter[str] = Counter()

    def next(self, without: Collection[str], claims_itself: bool) -> Task | None:
        """The next group for a worker; None if there is none now.

        Args:
            without: cells that it cannot compute.
            claims_itself: it sees the output folder, and claims what it computes.
        """
        for cells in self._groups(without):
            if claims_itself:
                if claims.of_others(cells, self.out):
                    continue
                task = Task(cells)
            else:
                held = claims.taken(cells, self.out)
                if held is None:
                    continue
                task = Task(cells, held)
            if open_cells := self._still_open(task.cells):
                task.cells = open_cells
                self._handed.update({cell.id: task for cell in open_cells})
                return task
            task.held.close()
        return None

    def _groups(self, without: Collection[str]) -> list[list[Cell]]:
        """Groups of which nobody has a cell, in the run's order."""
        busy = {self.left[name].training_id for name in self._handed if name in self.left}
        found: dict[str, list[Cell]] = {}
        for cell in self.left.values():
            if cell.id not in without and cell.training_id not in busy:
                found.setdefault(cell.training_id, []).append(cell)
        return list(found.values())

    def _still_open(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells that nobody else has ended in between."""
        return [cell for cell in cells if not self._has_ended(cell)]

    def _has_ended(self, cell: Cell) -> bool:
        return cell.is_done(self.out) or failures.reason_of(cell, self.out) is not None

    def ended(self, cell: Cell) -> None:
        """A cell has its record, or its log."""
        self.left.pop(cell.id, None)

    def back(self, task: Task) -> None:
        """A worker is through with a task, or gone; what it has not ended is free again."""
        for cell in task.cells:
            self._handed.pop(cell.id, None)
        task.held.close()

    def ended_elsewhere(self) -> list[Cell]:
        """The cells that others than this run's workers have ended; they are left no more."""
        found = [
            cell
            for name, cell in self.left.items()
            if name not in self._handed and self._has_ended(cell)
        ]
        for cell in found:
            self.ended(cell)
        return found

    def died(self, cell: Cell, reason: str) -> bool:
        """A worker has died of a cell; True if it is left alone from now on, with its log."""
        self._deaths[cell.id] += 1
        if self._deaths[cell.id] < DEATHS:
            return False
        if not self._has_ended(cell):
            failures.write(cell, self.out, f"{reason}, {DEATHS} times")
        self.ended(cell)
        return True
