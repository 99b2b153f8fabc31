"""One training: from its checkpoint, by gradient steps or a solver, to parameters on disk.

Cells that share a training share its folder: the first to need it trains, the others load. A lock
keeps two processes from training the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gin
from safetensors.torch import load_file, save

from promptbench import config
from promptbench.data import loader
from promptbench.data.loader import FewShotSet
from promptbench.isolation import isolated
from promptbench.method import ClassSet, Method, Solver
from promptbench.planning.plan import Cell
from promptbench.recipe import Recipe
from promptbench.records import PARAMETERS
from promptbench.running import snapshot
from promptbench.running.augmenting import augment_of
from promptbench.running.fit import FitReport, fit, solve
from promptbench.running.lab import Lab
from promptbench.running.watching import NormWatch
from promptbench.seeding import torch_seeded
from promptbench.storage import integrity, locks
from promptbench.storage.files import sweep, write_atomically
from promptbench.tracking import Epoch


@dataclass(frozen=True)
class Learner:
    """A cell's method as it starts, what it learns from, and the operative gin text."""

    method: Method
    classes: ClassSet
    shots: FewShotSet
    recipe: Recipe
    operative: str


def learner(cell: Cell, lab: Lab) -> Learner:
    """The method of a cell, built under the cell's configuration and seed, and its few shots."""
    source = lab.data[cell.leg.source.dataset]
    shots = loader.few_shot_set(source, cell.leg.source, cell.seed)
    classes = ClassSet(shots.class_names, source.card.template)
    lab.backbone.towers.forget()
    with config.unscoped({cell.method.cls.__name__: cell.parameters, "Recipe": cell.recipe}):
        with torch_seeded(cell.seed, "init"):
            method: Method = isolated(cell.method.cls, lab.backbone.towers, classes)
        recipe = Recipe()
        operative = gin.operative_config_str()
    method.to(lab.compute.device)
    return Learner(method, classes, shots, recipe, operative)


_SUMMARY = "training.json"  # comes last


def trained(
    cell: Cell, lab: Lab, method: Method, classes: ClassSet, shots: FewShotSet, recipe: Recipe
) -> tuple[FitReport, Path | None]:
    """Train a cell's method in place, or load what a cell with the same training has learnt.

    Returns:
        What training did, and the file of the learned parameters (None if nothing is learnt).

    Raises:
        UserError: training diverged.
    """
    if not any(p.requires_grad for p in method.parameters()):
        return FitReport(0, 0, 0.0, ()), None
    folder = cell.training_folder(lab.out)
    with locks.held(lock_of(cell, lab.out)):
        if not _is_usable(folder, lab):
            return _train(cell, lab, method, classes, shots, recipe), folder / PARAMETERS
    method.load_state_dict(load_file(folder / PARAMETERS), strict=True)
    method.to(lab.compute.device)
    report = json.loads((folder / _SUMMARY).read_text(encoding="utf-8"))
    return _fit_report(report), folder / PARAMETERS


def lock_of(cell: Cell, out: Path) -> Path:
    """The lock under which a cell's training is trained."""
    return locks.place(out, "training", cell.training_id)


def is_trained(cell: Cell, out: Path) -> bool:
    """Whether a cell's training is finished; damage shows when it is loaded."""
    return (cell.training_folder(out) / _SUMMARY).is_file()


def is_underway(cell: Cell, out: Path) -> bool:
    """Whether another process trains a cell's training at this moment."""
    return not is_trained(cell, out) and locks.is_held(lock_of(cell, out))


def _is_usable(folder: Path, lab: Lab) -> bool:
    """Whether a training is finished and whole; what is damaged is moved aside."""
    if not (folder / _SUMMARY).is_file():
        return False
    problem = integrity.damage(folder, _SUMMARY)
    if problem is not None:
        integrity.set_aside(folder / _SUMMARY, problem, lab.listener)
    return problem is None


def _train(
    cell: Cell, lab: Lab, method: Method, classes: ClassSet, shots: FewShotSet, recipe: Recipe
) -> FitReport:
    folder = cell.training_folder(lab.out)
    sweep(folder)
    checkpoint = folder / "checkpoint.pt"
    if isinstance(method, Solver):
        with lab.listener.task(f"solve {cell.label}", len(shots), "images") as task:
            report = solve(
                method,
                shots,
                compute=lab.compute,
                normalisation=lab.backbone.preprocess,
                workers=lab.workers,
                task=task,
            )
    else:
        report = _fitted(cell, lab, method, classes, shots, recipe, checkpoint)
    state = {key: value.detach().cpu().contiguous() for key, value in method.state_dict().items()}
    files = {PARAMETERS: save(state), _SUMMARY: json.dumps(asdict(report)).encode()}
    write_atomically(folder / PARAMETERS, lambda file: file.write(files[PARAMETERS]))
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    integrity.write_sums(folder, digests)
    write_atomically(folder / _SUMMARY, lambda file: file.write(files[_SUMMARY]))
    checkpoint.unlink(missing_ok=True)
    return report


def _fitted(
    cell: Cell,
    lab: Lab,
    method: Method,
    classes: ClassSet,
    shots: FewShotSet,
    recipe: Recipe,
    checkpoint: Path,
) -> FitReport:
    steps = recipe.n_epochs * shots.n_batches(recipe.batch_size)
    state = snapshot.read(checkpoint, lab.listener)
    watch = NormWatch(method, classes, shots, lab, cell.label) if lab.listener.wants_norms else None

    def ended(epoch: int, lr: float, losses: Mapping[str, float]) -> None:
        norms = watch.norms(epoch) if watch else {}
        lab.listener.epoch_ended(cell, Epoch(epoch, lr, losses, norms))

    with lab.listener.task(f"fit {cell.label}", steps, "steps") as task:
        return fit(
            method,
            classes,
            shots,
            recipe,
            seed=cell.seed,
            compute=lab.compute,
            augment=augment_of(recipe, lab),
            workers=lab.workers,
            checkpoint=checkpoint,
            state=state,
            every=lab.checkpoint_seconds,
            task=task,
            on_epoch=ended,
        )


def _fit_report(stored: dict[str, Any]) -> FitReport:
    return FitReport(**{**stored, "losses": tuple(stored["losses"])})
