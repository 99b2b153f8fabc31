"""Weights & Biases: one run per analysis, with its numbers as a table and its figures."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from promptbench.analysis.results import Result
from promptbench.errors import UserError
from promptbench.tracking.facts import PROJECT


class WandbAnalyses:
    """Logs results; the same analysis of the same runs continues the run of the same id.

    Raises:
        UserError: wandb is not installed.
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

    def __call__(self, path: Path, result: Result) -> None:
        """Log one analysis; `path` is its JSON file, beside its figures."""
        cells = sorted(run.cell_id for run in result.runs)
        name = f"{result.analysis}-{path.parent.name}"
        try:
            run = self._wandb.init(
                project=PROJECT,
                id=hashlib.sha256("".join([name, *cells]).encode()).hexdigest()[:24],
                resume="allow" if self._mode == "online" else None,
                mode=self._mode,
                dir=str(self._out),
                name=name,
                group=f"{result.protocol}/analysis",
                job_type="analysis",
                tags=[result.suite, result.protocol, result.analysis, *result.methods],
                config=result.model_dump(exclude={"rows", "figures"}),
                settings=self._wandb.Settings(silent=True),
            )
        except self._wandb.Error as error:
            raise UserError(
                f"wandb cannot start a run ({error}); use --wandb offline or off"
            ) from error
        columns = list(dict.fromkeys(key for row in result.rows for key in row))
        data = [[row.get(column) for column in columns] for row in result.rows]
        images = {
            Path(figure).stem: self._wandb.Image(str(path.with_name(figure)))
            for figure in result.figures
            if figure.endswith(".png")
        }
        run.log({"numbers": self._wandb.Table(columns=columns, data=data), **images})
        run.finish()
