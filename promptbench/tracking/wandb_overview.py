"""Weights & Biases in the process that was started: one run that sums up all cells of a grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from promptbench import records
from promptbench.tracking import wandb_grid, wandb_log
from promptbench.tracking.tracker import Tracker, TrackerOptions
from promptbench.tracking.wandb_place import TAKES, Place

if TYPE_CHECKING:
    from promptbench.planning.cells import Cell
    from promptbench.planning.plan import Plan
    from promptbench.records import Record


class WandbGrid(Tracker):
    """Logs the tables of all cells that are finished when the run ends, if one ended in it.

    Raises:
        UserError: a mode that is none, or wandb is not installed.
    """

    title = "Weights & Biases: a run with the tables of a grid"
    takes = TAKES

    def __init__(self, out: Path, options: TrackerOptions) -> None:
        super().__init__(out, options)
        self.remedy = f"`promptbench wandb sync {out}` sends the tables later"
        self._place = Place.of_argument(options.argument, out)
        wandb_log.module()
        self._planned: dict[str, Path] = {}  # folders of cells
        self._failed: set[str] = set()
        self._ended = False

    def planned(self, plan: Plan) -> None:
        self._planned |= {cell.id: cell.folder(self.out) for cell in plan.cells}

    def cell_ended(self, cell: Cell, record: Record) -> None:
        self._ended = True
        self._failed.discard(cell.id)

    def cell_failed(self, cell: Cell, reason: str, log: Path) -> None:
        self._failed.add(cell.id)

    def close(self) -> None:
        ended, self._ended = self._ended, False
        if not ended:
            return
        paths = [folder / records.RECORD for folder in self._planned.values()]
        found = [records.read(path) for path in paths if path.is_file()]
        scored = [record for record in found if record.targets]  # trials of a search have none
        if scored:
            wandb_grid.log(scored, self._place, self._planned, len(self._failed))
