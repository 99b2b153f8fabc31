"""One training: by gradient steps from its checkpoint, or by the method's own solver."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from promptbench.entering import enter, given
from promptbench.lab import Lab
from promptbench.lab.calling import learning
from promptbench.method import Solver, has_solver
from promptbench.planning.plan import Cell
from promptbench.progress import Task
from promptbench.seeding import seeded
from promptbench.stopping import Stopped
from promptbench.tracking import Epoch
from promptbench.training import snapshot
from promptbench.training.fit import FitReport, fit
from promptbench.training.learner import Learner
from promptbench.training.watching import NormWatch


def train(cell: Cell, lab: Lab, learner: Learner, checkpoint: Path) -> FitReport:
    """Train a cell's method in place, and tell the lab's listener of it."""
    method: Any = learner.method
    if has_solver(type(method)):
        count = len(learner.shots)
        with lab.listener.task(f"solve {cell.label}", count, "images") as task:
            return _solve(method, learner, lab, cell.seed, task)
    return _fit(cell, lab, learner, checkpoint)


def _solve(method: Solver, learner: Learner, lab: Lab, seed: int, task: Task) -> FitReport:
    """Let a method with a solver of its own learn from all images, under the test transform.

    What it draws comes from the cell's stream "solve".
    """
    started = time.perf_counter()

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for batch in learner.shots.plain(lab.backbone.preprocess, lab.workers):
            yield batch.images.to(lab.compute.device), batch.labels.to(lab.compute.device)
            task.advance(len(batch.keys))

    with seeded(seed, "solve"):
        enter(learning, lab.compute, method.solve, given(batches()))
    return FitReport(0, 0, time.perf_counter() - started, ())


def _fit(cell: Cell, lab: Lab, learner: Learner, checkpoint: Path) -> FitReport:
    recipe = learner.recipe
    steps = recipe.n_epochs * learner.shots.n_batches(recipe.batch_size)
    state = snapshot.to_go_on_from(checkpoint, cell.label, learner.code, lab.listener)
    before = state["progress"]["losses"] if state else ()
    if before:
        epochs = [Epoch(n, recipe.lr_at(n), losses, {}) for n, losses in enumerate(before)]
        lab.listener.training_resumed(cell, epochs)
    watch = NormWatch(learner, lab, cell.label) if lab.listener.wants_norms else None

    def ended(epoch: int, lr: float, losses: Mapping[str, float]) -> None:
        norms = watch.norms(epoch) if watch else {}
        lab.listener.epoch_ended(cell, Epoch(epoch, lr, losses, norms))

    with lab.listener.task(f"fit {cell.label}", steps, "steps") as task:
        try:
            report = fit(
                learner,
                lab,
                seed=cell.seed,
                checkpoint=checkpoint,
                state=state,
                task=task,
                on_epoch=ended,
            )
        except Stopped as stop:
            stop.saved = [f"{cell.label}, after {progress}" for progress in stop.saved]
            raise
    if report.skipped:
        lab.listener.message(
            f"{cell.label}: {report.skipped} of {report.steps} steps were left out, since their "
            "gradient overflowed float16 (--precision bf16 and fp32 have the range for it)"
        )
    return report
