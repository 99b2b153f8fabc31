"""Weights & Biases: one run per cell, with a deterministic id. The records stay the truth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from promptbench.errors import UserError
from promptbench.tracking import Listener

if TYPE_CHECKING:
    from promptbench.plan import Cell
    from promptbench.records import Record

PROJECT = "promptbench"


class WandbRuns(Listener):
    """Logs epochs and final accuracies; a rerun of a cell continues the run of the same id.

    Raises:
        UserError: wandb is not installed, or the output folder cannot be used.
    """

    def __init__(self, mode: Literal["offline", "online"], out: Path) -> None:
        try:
            import wandb
        except ImportError as error:
            raise UserError(
                "--wandb needs the package wandb: pip install 'promptbench-vlm[wandb]'"
            ) from error
        self._wandb: Any = wandb
        self._mode, self._out = mode, out
        self._run: Any = None

    def cell_started(self, cell: Cell) -> None:
        source = cell.leg.source
        group = (
            f"{cell.protocol}/{cell.method.name}/{source.dataset}-{source.shots}shot-{cell.preset}"
        )
        try:
            self._run = self._wandb.init(
                project=PROJECT,
                id=cell.id[:24],
                resume="allow" if self._mode == "online" else None,
                mode=self._mode,
                dir=str(self._out),
                name=f"{cell.method.name}-{source.dataset}-seed{cell.seed}",
                group=group,
                tags=[cell.suite, cell.protocol, cell.method.name, cell.inference, cell.preset],
                config={
                    "method": cell.parameters,
                    "recipe": cell.recipe,
                    "seed": cell.seed,
                    "backbone": cell.backbone,
                    "cell_id": cell.id,
                },
                settings=self._wandb.Settings(silent=True),
            )
        except self._wandb.Error as error:
            raise UserError(
                f"wandb cannot start a run ({error}); use --wandb offline or off"
            ) from error

    def epoch_ended(self, cell: Cell, epoch: int, lr: float, losses: Mapping[str, float]) -> None:
        self._run.log(
            {"lr": lr, **{f"loss/{name}": v for name, v in losses.items()}}, step=epoch + 1
        )

    def cell_ended(self, cell: Cell, record: Record) -> None:
        self._run.summary.update({f"accuracy/{t.key}": t.accuracy for t in record.targets})
        self._run.summary.update({"numbers_sha256": record.numbers_sha256})
        self._run.finish()
        self._run = None

    def cell_failed(self, cell: Cell, reason: str, log: Path) -> None:
        self.close()

    def close(self) -> None:
        if self._run is not None:
            self._run.finish(exit_code=1)
            self._run = None
