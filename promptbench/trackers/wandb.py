"""Weights & Biases while cells are computed: one run per cell. The records stay the truth.

A run that is started again logs the epochs of before as well: offline it is a file of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from promptbench.api import Epoch, Tracker, TrackerOptions, UserError
from promptbench.errors import near_miss
from promptbench.support import whereabouts
from promptbench.tracking import facts, jsonl, wandb_log
from promptbench.tracking.wandb_log import Mode, Place

if TYPE_CHECKING:
    from promptbench.planning.cells import Cell
    from promptbench.records import Record


class WandbRuns(Tracker):
    """Logs epochs as they end, and each record; a rerun of a cell has the same run id.

    Raises:
        UserError: a mode that is none, or wandb is not installed.
    """

    title = "Weights & Biases: a run per cell"
    takes = "offline (the default) or online"
    in_every_process = True
    wants_norms = True

    def __init__(self, out: Path, options: TrackerOptions) -> None:
        super().__init__(out, options)
        self.remedy = f"`promptbench wandb sync {out}` sends finished cells later"
        self._place = Place(_mode(options.argument), out)
        self._wandb = wandb_log.module()
        self._run: Any = None
        self._epochs = 0

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
        wandb_log.log_record(self._wandb, self._run, record, cell.folder(self.out))
        self._finish(exit_code=0)

    def _norms_before(self, cell: Cell) -> jsonl.Norms:
        """The norms that logs hold of a cell's training, whichever cell or process has trained."""
        folder = cell.folder(self.out)
        logs = folder.parents[2].glob(f"*/{folder.parent.name}/*/{jsonl.LOG}")
        return jsonl.norms_of(logs)[cell.training_id]

    def cell_failed(self, cell: Cell, reason: str, log: Path) -> None:
        self.close()

    def close(self) -> None:
        """End the run of a cell that has not ended."""
        if self._run is not None:
            self._finish(exit_code=1)

    def _finish(self, exit_code: int) -> None:
        run, self._run = self._run, None
        run.finish(exit_code=exit_code)


def _mode(argument: str) -> Mode:
    modes: tuple[Mode, ...] = get_args(Mode)
    for mode in modes:
        if argument in (mode, ""):  # the first is the default
            return mode
    raise UserError(f"unknown mode {argument!r}; {near_miss(argument, modes)}")
