"""One training loop for every method: steps, mixed precision, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from promptbench import stopping
from promptbench.entering import enter
from promptbench.lab import Lab
from promptbench.lab.calling import learning, losses_of
from promptbench.progress import Task
from promptbench.seeding import seeded
from promptbench.training.augmenting import augment_of
from promptbench.training.divergence import OVERFLOW, diverged, finite, refuse_broken
from promptbench.training.learner import Learner
from promptbench.training.snapshot import Snapshots
from promptbench.training.step import Stepper

EpochEnd = Callable[[int, float, Mapping[str, float]], None]


@dataclass(frozen=True)
class FitReport:
    """What training did: steps, seconds, and each epoch's mean unweighted loss terms.

    Of the steps, `skipped` were not taken, since their gradient overflowed float16. `class_chunk`
    class prompts were kept at a time; None: all.
    """

    epochs: int
    steps: int
    seconds: float
    losses: tuple[dict[str, float], ...]
    skipped: int = 0
    class_chunk: int | None = None


def fit(
    learner: Learner,
    lab: Lab,
    *,
    seed: int,
    checkpoint: Path,
    state: Mapping[str, Any] | None,
    task: Task,
    on_epoch: EpochEnd,
) -> FitReport:
    """Train the learner's method in place; the last epoch counts.

    Args:
        checkpoint: the file that takes a snapshot after every epoch and every
            `lab.checkpoint_seconds` within one.
        state: the snapshot to go on from (`promptbench.training.snapshot.read`), if there is one.

    Raises:
        UserError: a loss, a gradient or a parameter that is not finite, with step, term and last
            checkpoint.
        Stopped: a signal asked for it; a snapshot of the last step is written.
    """
    method, recipe = learner.method, learner.recipe
    steps = _Steps(learner, lab, seed, checkpoint, state, task)
    progress = steps.progress
    enter(method.train)
    for epoch in range(progress.epoch, recipe.n_epochs):
        with stopping.deferred() as stop:
            losses = steps.epoch(epoch, stop)
            on_epoch(epoch, recipe.lr_at(epoch), losses)
            stop.fulfil(str(progress))
        steps.restart_clock()  # what listeners take is no training
    steps.refuse_none_taken()
    steps.average.load_into(method)
    enter(method.eval)
    total = progress.epoch * steps.per_epoch
    return FitReport(
        progress.epoch,
        total,
        progress.seconds,
        progress.losses,
        skipped=progress.skipped,
        class_chunk=lab.backbone.towers.chunk_in_use,
    )


class _Steps:
    """The gradient steps of a training: how far it has come, and what its snapshots hold."""

    def __init__(
        self,
        learner: Learner,
        lab: Lab,
        seed: int,
        checkpoint: Path,
        state: Mapping[str, Any] | None,
        task: Task,
    ) -> None:
        method, recipe = learner.method, learner.recipe
        self._learner, self._lab, self._seed, self._task = learner, lab, seed, task
        self._augment = augment_of(recipe, lab)
        self._stepper = Stepper(method, recipe, lab.compute)
        self.average = recipe.epoch_average()
        self.per_epoch = learner.shots.n_batches(recipe.batch_size)
        self._snapshots = Snapshots(
            checkpoint,
            lab.checkpoint_seconds,
            lab.compute.device,
            method,
            self._stepper.optimizer,
            self._stepper.scaler,
            self.average,
            learner.code,
        )
        self.progress = self._snapshots.resume(state)
        task.advance(self.progress.epoch * self.per_epoch + self.progress.step)
        self.restart_clock()

    def restart_clock(self) -> None:
        """Leave the time since the last snapshot out of the training's seconds."""
        self._clock = time.perf_counter()

    def epoch(self, number: int, stop: stopping.Request) -> dict[str, float]:
        """The steps of an epoch that are left; returns its mean losses.

        Raises:
            Stopped: it was asked for within the epoch, and the last step is saved.
        """
        learner, progress, recipe = self._learner, self.progress, self._learner.recipe
        self._stepper.set_lr(recipe.lr_at(number))
        batches = learner.shots.epoch(
            number,
            first=progress.step,
            seed=self._seed,
            batch_size=recipe.batch_size,
            augment=self._augment,
            workers=self._lab.workers,
        )
        with seeded(self._seed, "fit", number):
            self._snapshots.restore_streams()
            for _, images, labels in self._lab.compute.placed(batches):
                self._step(images, labels)
                if progress.step < self.per_epoch and (stop or self._snapshots.is_due()):
                    self._save()
                    stop.fulfil(str(progress))
        losses = progress.end_epoch()
        self.average.add(number, learner.method)
        self._save()
        return losses

    def refuse_none_taken(self) -> None:
        """Refuse a training that has learned nothing, at its end.

        Raises:
            UserError: the gradient of every step has overflowed.
        """
        if 0 < self.progress.skipped == self.progress.epoch * self.per_epoch:
            raise diverged(f"{OVERFLOW} in every step", self._snapshots.last)

    def _step(self, images: Tensor, labels: Tensor) -> None:
        learner, compute, progress = self._learner, self._lab.compute, self.progress
        compute.begin_step()
        terms, total = enter(
            learning, compute, losses_of, learner.method, learner.classes, images, labels
        )
        progress.skipped += not self._stepper.step(total)
        where = f"at epoch {progress.epoch + 1}, step {progress.step + 1}"
        if self._stepper.is_stuck:
            raise diverged(f"{OVERFLOW} {where}, at whatever scale", self._snapshots.last)
        # Only now, when a GPU has all of the step to do, wait for its losses.
        values = finite({**terms, "total": total}, where, self._snapshots.last)
        progress.add_step(values)
        self._task.advance(1, f"loss {values['total']:.3f}")

    def _save(self) -> None:
        now = time.perf_counter()
        self.progress.seconds += now - self._clock
        self._clock = now
        refuse_broken(self._learner.method, f"after {self.progress}", self._snapshots.last)
        self._lab.keeper.refuse_changed()
        self._snapshots.save(self.progress)
