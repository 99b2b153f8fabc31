"""Weights & Biases while cells are computed: one run per cell. The records stay the truth.

A run that is started again logs the epochs of before as well: offline it is a file of its own. The
process that was started adds one run with the tables of all cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptbench.api import Epoch, Tracker, TrackerOptions
from promptbench.support import whereabouts
from promptbench.support.safe_text import shortened
from promptbench.tracking import facts, jsonl, wandb_log
from promptbench.tracking.wandb_overview import WandbGrid
from promptbench.tracking.wandb_place import TAKES, Place

if TYPE_CHECKING:
    from promptbench.planning.cells import Cell
    from promptbench.planning.plan import Plan
    from promptbench.records import Record

_MOST = 500  # characters of a reason
_TITLE = 64  # characters of an alert's title; alerts of one title are sent once a minute


class WandbRuns(Tracker):
    """Logs epochs as they end, and each record; a rerun of a cell has the same run id.

    Raises:
        UserError: a mode that is none, or wandb is not installed.
    """

    title = "Weights & Biases: a run per cell"
    takes = TAKES
    in_every_process = True
    beside = WandbGrid
    wants_norms = True

    def __init__(self, out: Path, options: TrackerOptions) -> None:
        super().__init__(out, options)
        self.remedy = f"`promptbench wandb sync {out}` sends finished cells later"
        self._place = Place.of_argument(options.argument, out)
        self._wandb = wandb_log.module()
        self._run: Any = None
        self._epochs = 0
        self._roots: dict[str, Path | None] = {}  # the data root of each cell

    def planned(self, plan: Plan) -> None:
        self._roots |= {cell.id: plan.root for cell in plan.cells}

    def cell_started(self, cell: Cell) -> None:
        self._epochs = 0
        known = facts.of_cell(cell)
        who = {"host": whereabouts.host(), "job": whereabouts.job()}
        known = replace(known, config={**known.config, **who})
        self._run = wandb_log.start(self._wandb, known, self._place)

    def training_resumed(self, cell: Cell, epochs: Sequence[Epoch]) -> None:
        """Log the epochs that a process before this one has trained, if the run lacks them: an
        offline run begins again with every process, one of the service holds what it was sent."""
        norms = self._norms_before(cell)
        for epoch in epochs:
            if epoch.number + 1 >= self._run.starting_step:
                self._log(replace(epoch, norms=norms.get(epoch.number, {})))

    def epoch_ended(self, cell: Cell, epoch: Epoch) -> None:
        self._log(epoch)

    def _log(self, epoch: Epoch) -> None:
        wandb_log.log_epoch(self._run, epoch)
        self._epochs += 1

    def cell_ended(self, cell: Cell, record: Record) -> None:
        if not self._epochs:  # the training was another cell's, perhaps of another protocol
            wandb_log.log_epochs(self._run, record, self._norms_before(cell))
        folder, root = cell.folder(self.out), self._roots.get(cell.id)
        wandb_log.log_record(self._wandb, self._run, record, folder, self._place, root)
        self._finish(exit_code=0)

    def _norms_before(self, cell: Cell) -> jsonl.Norms:
        """The norms that logs hold of a cell's training, whichever cell or process has trained."""
        folder = cell.folder(self.out)
        logs = folder.parents[2].glob(f"*/{folder.parent.name}/*/{jsonl.LOG}")
        return jsonl.norms_of(logs)[cell.training_id]

    def cell_failed(self, cell: Cell, reason: str, log: Path) -> None:
        if self._run is None:  # it failed before it began
            self.cell_started(cell)
        title = f"failed: {cell.label}"[: _TITLE - 1]
        self._run.alert(title=title, text=shortened(reason, _MOST), level="ERROR")
        self.close()

    def close(self) -> None:
        """End the run of a cell that has not ended."""
        if self._run is not None:
            self._finish(exit_code=1)

    def _finish(self, exit_code: int) -> None:
        run, self._run = self._run, None
        run.finish(exit_code=exit_code)
