"""TensorBoard: event files for each cell below `tensorboard` in the output folder.

`tensorboard --logdir runs/tensorboard` shows them. The event files of a cell begin again with every
process that computes it, which writes the epochs of before as well: each epoch is there once.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptbench.api import Epoch, Tracker, TrackerOptions, UserError
from promptbench.core.metric import DEFAULT
from promptbench.records import scores

if TYPE_CHECKING:
    from promptbench.planning.cells import Cell
    from promptbench.records import Record


class TensorBoard(Tracker):
    """Writes losses and learning rate of each epoch, and the score of each target.

    Raises:
        UserError: tensorboard is not installed.
    """

    title = "TensorBoard: event files for each cell"
    in_every_process = True

    def __init__(self, out: Path, options: TrackerOptions) -> None:
        super().__init__(out, options)
        self.remedy = "the records hold losses and scores of every cell that is finished"
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UserError(
                "TensorBoard needs the package tensorboard: pip install "
                "'promptbench-vlm[tensorboard]'"
            ) from error
        self._make = SummaryWriter
        self._writer: Any = None
        self._epochs = 0

    def cell_started(self, cell: Cell) -> None:
        place = self.out / "tensorboard" / cell.folder(self.out).relative_to(self.out)
        shutil.rmtree(place, ignore_errors=True)
        self._writer, self._epochs = self._make(str(place)), 0

    def training_resumed(self, cell: Cell, epochs: Sequence[Epoch]) -> None:
        for epoch in epochs:
            self.epoch_ended(cell, epoch)

    def epoch_ended(self, cell: Cell, epoch: Epoch) -> None:
        self._epochs += 1
        step = epoch.number + 1
        self._writer.add_scalar("lr", epoch.lr, step)
        for kind, values in (("losses", epoch.losses), ("norms", epoch.norms)):
            for name, value in values.items():
                self._writer.add_scalar(f"{kind}/{name}", value, step)
        self._writer.flush()  # a process that is killed leaves what it had

    def cell_ended(self, cell: Cell, record: Record) -> None:
        if not self._epochs:  # the training was another cell's
            for number, losses in enumerate(record.training.losses):
                for name, value in losses.items():
                    self._writer.add_scalar(f"losses/{name}", value, number + 1)
        last = len(record.training.losses)
        for target, value in scores.per_target(record).items():
            self._writer.add_scalar(f"{DEFAULT}/{target}", value, last)
        self._writer.add_text("config", f"    {record.config.replace(chr(10), chr(10) + '    ')}")
        self.close()

    def cell_failed(self, cell: Cell, reason: str, log: Path) -> None:
        self.close()

    def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
