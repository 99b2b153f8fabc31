"""Parameters over training: a run trained again from its record, and kept at each epoch's end.

A run leaves only the parameters of its last epoch. Training is deterministic, so that the others
can be had again; they are stored beside the record, and read from there the next time, where that
folder can be written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from promptbench.analysis.runs import Run
from promptbench.core.method import Method, Solver, Starter
from promptbench.errors import OutputError
from promptbench.running.training.folder import trained
from promptbench.storage.files import write_whole
from promptbench.support.progress import Task
from promptbench.support.stopping import thrown_away
from promptbench.tracking import Epoch, Listener

if TYPE_CHECKING:
    from promptbench.planning.cells import Cell

EPOCHS = "epochs.safetensors"
States = dict[int, dict[str, Tensor]]  # epochs done -> parameters by name


def over_training(run: Run) -> States:
    """The learned parameters before training (0) and after every epoch; without those before it of
    a method that starts from the training images.

    What a method does after its last epoch, such as averaging over epochs, is in the record's own
    parameters, not here. Empty for methods that learn nothing, or by a solver of their own.
    """
    stored = run.folder / EPOCHS
    known = _stored(stored, run)
    if known is not None:
        return known
    made = run.learner()
    if not run.learned or isinstance(made.method, Solver):
        return {}
    snapshots = _Snapshots(made.method, run.lab.listener)
    with thrown_away(), tempfile.TemporaryDirectory(prefix="analysis-") as scratch:
        lab = dataclasses.replace(run.lab, out=Path(scratch), listener=snapshots)
        _, path = trained(run.cell, lab, made)
        again = path and hashlib.sha256(path.read_bytes()).hexdigest()
    if again != run.record.training.parameters_sha256:
        run.lab.listener.message(
            f"{run.cell.label}: trained again it ends in other parameters than the record's (other "
            "hardware or versions?); its curves over training are those of the new training"
        )
    _store(snapshots.states, stored, run)
    return snapshots.states


class _Snapshots(Listener):
    """Keeps a method's parameters at the end of every epoch; passes progress on."""

    def __init__(self, method: Method, progress: Listener) -> None:
        self._method, self._progress = method, progress
        unset = isinstance(method, Starter)  # it has no parameters yet
        self.states: States = {} if unset else {0: _state(method)}

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[Task]:
        with self._progress.task(label, total, unit) as task:
            yield task

    def epoch_ended(self, cell: Cell, epoch: Epoch) -> None:
        self.states[epoch.number + 1] = _state(self._method)


def _state(method: Method) -> dict[str, Tensor]:
    state = method.state_dict()
    return {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}


def _facts(run: Run) -> dict[str, str]:
    """What the snapshots belong to."""
    record = run.record
    return {"of": json.dumps([record.training_id, record.training.parameters_sha256])}


def _store(states: States, path: Path, run: Run) -> None:
    """Keep the parameters for the next time; a folder that cannot be written is not an obstacle
    now."""
    tensors = {f"{epoch}/{k}": v for epoch, state in states.items() for k, v in state.items()}
    data = save(tensors, metadata=_facts(run))
    try:
        write_whole(path, data)
    except OutputError as error:
        run.lab.listener.message(
            f"{error}; the analysis goes on, but the next one over training trains "
            f"{run.cell.label} again"
        )


def _stored(path: Path, run: Run) -> States | None:
    """What is kept of this very training; None where nothing is, or it cannot be read."""
    if not path.is_file():
        return None
    states: States = {}
    try:
        with safe_open(path, "pt") as file:
            if file.metadata() != _facts(run):
                return None
            keys = file.keys()
            for key in keys:
                epoch, _, name = key.partition("/")
                states.setdefault(int(epoch), {})[name] = file.get_tensor(key)
    except (OSError, SafetensorError) as error:
        run.lab.listener.message(f"{path} cannot be read ({error}); its training is done again")
        return None
    return dict(sorted(states.items()))
