"""Weights & Biases while cells are computed: one run per cell. The records stay the truth.

A run that is started again logs the epochs of before as well: offline it is a file of its own.

A run of promptbench never stops because of it: what fails is said once, logging ends, and
`promptbench wandb sync` sends the finished cells later.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptbench.tracking import jsonl, wandb_facts, wandb_log
from promptbench.tracking.listener import Epoch, Listener
from promptbench.tracking.wandb_log import Mode, Place

if TYPE_CHECKING:
    from promptbench.planning.plan import Cell
    from promptbench.records import Record


class WandbRuns(Listener):
    """Logs epochs as they end, and each record; a rerun of a cell has the same run id."""

    wants_norms = True

    def __init__(self, mode: Mode, out: Path) -> None:
        self._out = out
        self._place = Place(mode, out)
        self._wandb: Any = None
        self._run: Any = None
        self._epochs = 0
        self._failed = False
        self._attempt(self._load)

    def _load(self) -> None:
        self._wandb = wandb_log.module()

    def _attempt(self, action: Callable[..., None], *arguments: Any) -> None:
        if self._failed:
            return
        try:
            action(*arguments)
        except Exception as error:  # a service and its client may raise anything; the run goes on
            self._failed, self._run = True, None
            warnings.warn(
                f"Weights & Biases: {type(error).__name__}: {error}; the run goes on without it, "
                f"and `promptbench wandb sync {self._out}` sends finished cells later",
                stacklevel=2,
            )

    def cell_started(self, cell: Cell) -> None:
        self._attempt(self._start, cell)

    def _start(self, cell: Cell) -> None:
        self._epochs = 0
        self._run = wandb_log.start(self._wandb, wandb_facts.of_cell(cell), self._place)

    def training_resumed(self, cell: Cell, epochs: Sequence[Epoch]) -> None:
        self._attempt(self._catch_up, cell, epochs)

    def _catch_up(self, cell: Cell, epochs: Sequence[Epoch]) -> None:
        """Log the epochs that a process before this one has trained, if the run lacks them: an
        offline run begins again with every process, one of the service holds what it was sent."""
        norms = self._norms_before(cell)
        for epoch in epochs:
            if epoch.number + 1 >= self._run.starting_step:
                self._epoch(replace(epoch, norms=norms.get(epoch.number, {})))

    def epoch_ended(self, cell: Cell, epoch: Epoch) -> None:
        self._attempt(self._epoch, epoch)

    def _epoch(self, epoch: Epoch) -> None:
        wandb_log.log_epoch(self._run, epoch)
        self._epochs += 1

    def cell_ended(self, cell: Cell, record: Record) -> None:
        self._attempt(self._end, cell, record)

    def _end(self, cell: Cell, record: Record) -> None:
        if not self._epochs:  # the training was another cell's, perhaps of another protocol
            wandb_log.log_epochs(self._run, record, self._norms_before(cell))
        wandb_log.log_record(self._wandb, self._run, record, cell.folder(self._out))
        self._run.finish()
        self._run = None

    def _norms_before(self, cell: Cell) -> jsonl.Norms:
        """The norms that logs hold of a cell's training, whichever cell or process has trained."""
        folder = cell.folder(self._out)
        logs = folder.parents[2].glob(f"*/{folder.parent.name}/*/{jsonl.LOG}")
        return jsonl.norms_of(logs)[cell.training_id]

    def cell_failed(self, cell: Cell, reason: str, log: Path) -> None:
        self.close()

    def close(self) -> None:
        if self._run is not None:
            self._attempt(self._abandon)

    def _abandon(self) -> None:
        self._run.finish(exit_code=1)
        self._run = None
