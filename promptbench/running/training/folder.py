"""The folder of a training: whoever needs it first trains, the others load what was learned.

Cells that share a training share its folder. A lease keeps two processes from training the same.
What the protocol's selection rule has chosen lies in the folder itself, what others have, below it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save

from promptbench.core.registry import Plugin
from promptbench.core.selection import Selection
from promptbench.core.traits import sees_images
from promptbench.errors import UserError
from promptbench.isolation.entering import enter, learnables
from promptbench.models.gpu_errors import is_lost
from promptbench.planning.cells import Cell
from promptbench.records import PARAMETERS
from promptbench.running.lab import Lab
from promptbench.running.training.choosing import Validation
from promptbench.running.training.learner import Learner
from promptbench.running.training.snapshot import Code, code_of, difference
from promptbench.running.training.train import FitReport, Outcome, train
from promptbench.storage import integrity, leases
from promptbench.storage.files import sweep, write_whole
from promptbench.storage.leases import LeaseLost
from promptbench.support import stopping
from promptbench.support.stopping import Stopped

_SUMMARY = "training.json"  # comes last
CHECKPOINT = "checkpoint.pt"


def trained(cell: Cell, lab: Lab, learner: Learner) -> tuple[FitReport, Path | None]:
    """Train a cell's method in place, or load what a cell with the same training has learned.

    Returns:
        What training did, and the file of the learned parameters (None if nothing is learned).

    Raises:
        UserError: training diverged; a method that is shown all images has no parameters.
    """
    method = learner.method
    if not any(p.requires_grad for _, p in learnables(method)):
        if sees_images(type(method)):
            raise UserError(
                f"{type(method).title} is to learn from the training images, but has no parameter "
                "that it could learn; what it takes from them belongs into a torch.nn.Parameter"
            )
        return FitReport(0, 0, 0.0, ()), None
    folder = cell.outcome_folder(lab.out)
    with leases.held(lease_of(cell, lab.out)):
        if not _is_usable(cell, cell.selection, lab):
            return _train_and_store(cell, lab, learner), folder / PARAMETERS
    enter(method.load_state_dict, load_file(folder / PARAMETERS), strict=True)
    enter(method.to, lab.compute.device)
    report, _ = _stored(folder)
    return report, folder / PARAMETERS


def lease_of(cell: Cell, out: Path) -> Path:
    """The lease under which a cell's training is trained."""
    return leases.place(out, "training", cell.training_id)


def is_trained(cell: Cell, out: Path) -> bool:
    """Whether a cell's training is finished, by the code of now, and the cell's rule has looked on;
    damage shows when it is loaded."""
    folder = cell.outcome_folder(out)
    if not (folder / _SUMMARY).is_file():
        return False
    try:
        _, made_by = _stored(folder)
    except (OSError, ValueError, TypeError, KeyError):
        return True
    return difference(made_by, code_of(cell)) is None


def is_underway(cell: Cell, out: Path, is_held: Callable[[Path], bool] = leases.is_held) -> bool:
    """Whether another process trains a cell's training, by what `is_held` knows of leases."""
    return is_held(lease_of(cell, out)) and not is_trained(cell, out)


def files_of(cell: Cell, out: Path) -> list[Path]:
    """What others need to go on from a training, in the order in which it is to be written.

    What the rules that look on have chosen; where one has not yet, the checkpoint. None where
    neither is.
    """
    rules = cell.rules or (cell.selection,)
    folders = [cell.outcome_folder(out, rule) for rule in rules]
    finished = [folder for folder in folders if (folder / _SUMMARY).is_file()]
    wanted = [
        folder / name for folder in finished for name in (PARAMETERS, integrity.SUMS, _SUMMARY)
    ]
    if len(finished) < len(folders):
        wanted.append(cell.training_folder(out) / CHECKPOINT)
    return [path for path in wanted if path.is_file()]


def _is_usable(cell: Cell, rule: Plugin[Selection], lab: Lab) -> bool:
    """Whether what a rule has chosen of a training is there, whole and of the code of now; what is
    damaged is moved aside."""
    folder = cell.outcome_folder(lab.out, rule)
    if not (folder / _SUMMARY).is_file():
        return False
    problem = integrity.damage(folder, _SUMMARY)
    if problem is not None:
        integrity.set_aside(folder / _SUMMARY, problem, lab.listener)
        return False
    other = difference(_stored(folder)[1], code_of(cell, rule))
    if other is not None:
        lab.listener.message(
            f"{cell.label}: the finished training in {folder} was made by other code ({other}), so "
            "it is not used, and the training starts from the beginning"
        )
        (folder / _SUMMARY).unlink()  # unfinished from now on
    return other is None


def _train_and_store(cell: Cell, lab: Lab, learner: Learner) -> FitReport:
    """Train for all rules that look on and have chosen nothing yet; the report of the cell's."""
    own = cell.selection
    others = [rule for rule in cell.rules if rule.name != own.name]
    rules = [own, *(rule for rule in others if not _is_usable(cell, rule, lab))]
    folder = cell.training_folder(lab.out)
    sweep(folder)
    checkpoint = folder / CHECKPOINT
    with _nothing_of_changed_towers(cell, checkpoint, lab):
        outcomes = train(cell, lab, learner, checkpoint, rules)
        lab.vouch()
    for rule in rules:
        _store(cell.outcome_folder(lab.out, rule), outcomes[rule.name], code_of(cell, rule))
    checkpoint.unlink(missing_ok=True)
    return outcomes[own.name].report


@contextmanager
def _nothing_of_changed_towers(cell: Cell, checkpoint: Path, lab: Lab) -> Iterator[None]:
    """Leave no checkpoint behind that changed towers may have taught, where the block fails: the
    last look at them may be some checkpoints ago."""
    try:
        yield
    except LeaseLost:  # the checkpoint is another worker's by now
        raise
    except BaseException as error:
        with stopping.deferred():  # a signal does not cut the look off
            _remove_if_changed(cell, checkpoint, lab, error)
        raise


def _remove_if_changed(cell: Cell, checkpoint: Path, lab: Lab, error: BaseException) -> None:
    """Remove the checkpoint of a training that has ended in an error, if the towers were changed;
    the error, which may speak of it, says so."""
    if is_lost(lab.compute.device) or (change := lab.keeper.change()) is None:
        return
    if not checkpoint.is_file():
        return
    checkpoint.unlink()
    if isinstance(error, Stopped):
        error.saved.clear()
    said = f"the frozen towers were changed ({change}), so that its checkpoint is removed"
    error.add_note(said)  # which a log has below the error
    lab.listener.message(f"{cell.label}: {said}")


def _store(folder: Path, outcome: Outcome, code: Code) -> None:
    """Store what a rule has chosen; the summary comes last."""
    stated = asdict(outcome.report)
    if outcome.report.validation is None:  # as it was before there was any
        del stated["validation"]
    summary = {**stated, "code": code}
    files = {PARAMETERS: save(dict(outcome.state)), _SUMMARY: json.dumps(summary).encode()}
    write_whole(folder / PARAMETERS, files[PARAMETERS])
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    integrity.write_sums(folder, digests)
    write_whole(folder / _SUMMARY, files[_SUMMARY])


def _stored(folder: Path) -> tuple[FitReport, Any]:
    """What a finished training did, and the code that made it, if that was noted."""
    stored = json.loads((folder / _SUMMARY).read_text(encoding="utf-8"))
    code = stored.pop("code", None)
    stored["losses"] = tuple(stored["losses"])
    if (validated := stored.get("validation")) is not None:
        stored["validation"] = Validation.of_plain(validated)
    return FitReport(**stored), code
