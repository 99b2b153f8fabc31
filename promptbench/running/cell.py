"""The straight line of one cell: the method, its training, predictions, the record."""

from __future__ import annotations

import torch

from promptbench import audit, records
from promptbench.lab import Lab
from promptbench.planning.plan import Cell
from promptbench.predicting.scoring import score
from promptbench.records import Record
from promptbench.running.recording import record_of
from promptbench.storage.files import write_whole
from promptbench.training.folder import trained
from promptbench.training.train import learner


def run_cell(cell: Cell, lab: Lab) -> Record:
    """One cell, from its configuration to its record.

    Raises:
        Refused: the method looked at what it is not given.
    """
    with audit.watched(cell.method.cls):
        return _run(cell, lab)


def _run(cell: Cell, lab: Lab) -> Record:
    lab.listener.cell_started(cell)
    if lab.compute.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(lab.compute.device)
    folder = cell.folder(lab.out)
    made = learner(cell, lab)
    report, parameters = trained(cell, lab, made)
    targets = [score(cell, lab, made.method, target, folder) for target in cell.leg.targets]
    lab.keeper.refuse_changed()
    if parameters is not None:
        learnt = parameters.read_bytes()
        write_whole(folder / records.PARAMETERS, learnt)
    record = record_of(cell, lab, made, report, parameters, targets)
    records.finish(record, folder)
    lab.listener.cell_ended(cell, record)
    return record
