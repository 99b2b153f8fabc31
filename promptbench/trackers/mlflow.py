"""MLflow: a run per cell, on a tracking server or in `mlflow/mlflow.db` of the output folder.

A cell that is started again has a new run, which holds the epochs of before as well; what a killed
process has left is marked as killed. `mlflow ui --backend-store-uri sqlite:///runs/mlflow/mlflow.db`
shows the file. MLflow's own telemetry is off, unless the user's environment turns it on.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptbench.api import Epoch, Tracker, TrackerOptions, UserError
from promptbench.core.metric import DEFAULT
from promptbench.records import scores
from promptbench.support import whereabouts
from promptbench.tracking import facts

if TYPE_CHECKING:
    from promptbench.planning.cells import Cell
    from promptbench.records import Record

_EXPERIMENT = "promptbench"
_CELL, _OUT, _REASON = (f"promptbench.{name}" for name in ("cell", "out", "failed"))
_RECORD = "promptbench-record.json"  # no second record.json below an output folder
_MOST = 6000  # characters of a parameter, more are refused by servers
_BATCH = 100  # parameters or metrics of one call; servers take no more parameters


class MlflowRuns(Tracker):
    """Logs settings, epochs, scores, and the record as the artifact `promptbench-record.json`.

    Raises:
        UserError: mlflow is not installed.
    """

    title = "MLflow: a run per cell"
    takes = "the address of a tracking server (by default MLFLOW_TRACKING_URI, else a file)"

    def __init__(self, out: Path, options: TrackerOptions) -> None:
        super().__init__(out, options)
        self.remedy = "the records hold losses and scores of every cell that is finished"
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing is sent unasked
        try:
            with _quiet():
                import mlflow
        except ImportError as error:
            raise UserError(
                "MLflow needs the package mlflow: pip install 'promptbench-vlm[mlflow]'"
            ) from error
        self._mlflow = mlflow
        self._client: Any = None
        self._experiment = ""
        self._files: str | None = None  # where artifacts go; a server knows for itself
        self._runs: dict[str, str] = {}  # of the cells that are being computed
        self._epochs: set[str] = set()  # the cells of which epochs were heard

    def _ask(self, what: str, *arguments: Any, **named: Any) -> Any:
        if self._client is None:
            self._open()
        with _quiet():
            return getattr(self._client, what)(*arguments, **named)

    def _open(self) -> None:
        """Make the client and the experiment, when they are first needed."""
        place = self.options.argument or os.environ.get("MLFLOW_TRACKING_URI", "")
        if not place:
            folder = (self.out / "mlflow").absolute()
            folder.mkdir(parents=True, exist_ok=True)
            place, self._files = f"sqlite:///{folder / 'mlflow.db'}", folder.as_uri()
        with _quiet():
            self._client = self._mlflow.MlflowClient(tracking_uri=place)
        found = self._ask("get_experiment_by_name", _EXPERIMENT)
        self._experiment = (
            self._ask("create_experiment", _EXPERIMENT, self._files)
            if found is None
            else found.experiment_id
        )

    def cell_started(self, cell: Cell) -> None:
        self._epochs.discard(cell.id)
        if self._client is None:
            self._open()
        # of this folder: on a server others may compute the same cell in theirs
        out = hashlib.sha256(str(self.out.absolute()).encode()).hexdigest()[:16]
        mine = f"tags.`{_CELL}` = '{cell.id}' and tags.`{_OUT}` = '{out}'"
        for left in self._ask(
            "search_runs", [self._experiment], f"{mine} and attributes.status = 'RUNNING'"
        ):
            self._ask("set_terminated", left.info.run_id, "KILLED")
        known = facts.of_cell(cell)
        tags = {_CELL: cell.id, _OUT: out, "group": known.group, "host": whereabouts.host()}
        run = self._ask("create_run", self._experiment, tags=tags, run_name=known.name)
        self._runs[cell.id] = run.info.run_id
        settings = [
            self._mlflow.entities.Param(_key(name), value)
            for name, value in _flat(known.config)
            if len(value) <= _MOST  # the record, which is logged as well, has it
        ]
        for at in range(0, len(settings), _BATCH):
            self._ask("log_batch", run.info.run_id, params=settings[at : at + _BATCH])

    def training_resumed(self, cell: Cell, epochs: Sequence[Epoch]) -> None:
        for epoch in epochs:
            self.epoch_ended(cell, epoch)

    def epoch_ended(self, cell: Cell, epoch: Epoch) -> None:
        self._epochs.add(cell.id)
        losses = {f"losses/{name}": value for name, value in epoch.losses.items()}
        norms = {f"norms/{name}": value for name, value in epoch.norms.items()}
        self._log(cell, {"lr": epoch.lr, **losses, **norms}, epoch.number + 1)

    def _log(self, cell: Cell, values: Mapping[str, float], step: int) -> None:
        now = round(time.time() * 1000)
        made = self._mlflow.entities.Metric
        metrics = [made(_key(name), value, now, step) for name, value in values.items()]
        for at in range(0, len(metrics), _BATCH):
            self._ask("log_batch", self._runs[cell.id], metrics=metrics[at : at + _BATCH])

    def cell_ended(self, cell: Cell, record: Record) -> None:
        if cell.id not in self._epochs:  # the training was another cell's
            for number, losses in enumerate(record.training.losses):
                self._log(cell, {f"losses/{name}": v for name, v in losses.items()}, number + 1)
        found = {f"{DEFAULT}/{name}": value for name, value in scores.per_target(record).items()}
        self._log(cell, found, len(record.training.losses))
        text = record.model_dump_json(indent=1)
        self._ask("log_text", self._runs[cell.id], text, _RECORD)
        self._finish(cell.id, "FINISHED")

    def cell_failed(self, cell: Cell, reason: str, log: Path) -> None:
        if cell.id in self._runs:
            self._ask("set_tag", self._runs[cell.id], _REASON, reason[:_MOST])
        self._finish(cell.id, "FAILED")

    def close(self) -> None:
        try:
            for cell_id in list(self._runs):
                self._finish(cell_id, "KILLED")
        finally:
            client, self._client = self._client, None
            if client is not None:  # a store in a file is held open until its engine is disposed of
                with suppress(AttributeError):  # a server's store has none
                    client._tracking_client.store.engine.dispose()

    def _finish(self, cell_id: str, status: str) -> None:
        run = self._runs.pop(cell_id, None)
        if run is not None:
            self._ask("set_terminated", run, status)


@contextmanager
def _quiet() -> Iterator[None]:
    """MLflow and its store use what their own libraries call deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _flat(config: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Settings within settings, by names with dots."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value if isinstance(value, str) else json.dumps(value)


def _key(name: str) -> str:
    """A name of characters that every store takes."""
    return re.sub(r"[^\w./ -]", "_", name)
