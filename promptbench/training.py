"""One training: from its checkpoint, by gradient steps or a solver, to parameters on disk.

Cells that share a training share its folder: the first to need it trains, the others load.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gin
from safetensors.torch import load_file, save

from promptbench import config
from promptbench.data import loader
from promptbench.data.loader import FewShotSet
from promptbench.files import write_atomically
from promptbench.fit import FitReport, fit, solve
from promptbench.isolation import isolated
from promptbench.lab import Lab
from promptbench.method import ClassSet, Method, Solver
from promptbench.plan import Cell
from promptbench.recipe import Recipe
from promptbench.seeding import torch_seeded


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
    learned, summary, checkpoint = (
        folder / name for name in ("learned.safetensors", "training.json", "checkpoint.pt")
    )
    if summary.is_file() and learned.is_file():
        method.load_state_dict(load_file(learned), strict=True)
        method.to(lab.compute.device)
        return _fit_report(json.loads(summary.read_text())), learned
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
    write_atomically(learned, lambda file: file.write(save(state)))
    write_atomically(summary, lambda file: file.write(json.dumps(asdict(report)).encode()))
    checkpoint.unlink(missing_ok=True)
    return report, learned


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
    with lab.listener.task(f"fit {cell.label}", steps, "steps") as task:
        return fit(
            method,
            classes,
            shots,
            recipe,
            seed=cell.seed,
            compute=lab.compute,
            normalisation=lab.backbone.preprocess,
            workers=lab.workers,
            checkpoint=checkpoint,
            task=task,
            on_epoch=lambda epoch, lr, losses: lab.listener.epoch_ended(cell, epoch, lr, losses),
        )


def _fit_report(stored: dict[str, Any]) -> FitReport:
    return FitReport(**{**stored, "losses": tuple(stored["losses"])})
