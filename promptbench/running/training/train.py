"""A training, from the method that it starts with to the state that is scored; read from the top.

A method learns by gradient steps, one loop for all of them, or by a solver of its own. Before its
steps it may take something of all training images, such as a cache.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from torch import Tensor

from promptbench.core.averaging import EpochAverage
from promptbench.core.course import Course, Stage
from promptbench.core.method import Staged
from promptbench.core.registry import Plugin
from promptbench.core.selection import Selection
from promptbench.core.traits import has_solver, starts_from_images
from promptbench.isolation.entering import enter
from promptbench.planning.cells import Cell
from promptbench.running.lab import Lab
from promptbench.running.lab.calling import learning
from promptbench.running.training.augmenting import augment_of
from promptbench.running.training.choosing import Rules, Validation
from promptbench.running.training.descent import Descent
from promptbench.running.training.learner import Learner
from promptbench.running.training.showing import show
from promptbench.running.training.snapshot import (
    Snapshots,
    stage_in,
    to_go_on_from,
)
from promptbench.running.training.step import OVERFLOW, Stepper, diverged, finite
from promptbench.running.training.validating import Validator
from promptbench.running.training.watching import NormWatch
from promptbench.support import stopping
from promptbench.support.progress import Task
from promptbench.support.seeding import seeded
from promptbench.tracking import Epoch, Listener


@dataclass(frozen=True)
class FitReport:
    """What training did: steps, seconds, and each epoch's mean unweighted loss terms; and by which
    validation the state was chosen, if by any.

    Of the steps, `skipped` were not taken, since their gradient overflowed float16. `class_chunk`
    class prompts were kept at a time; None: all.
    """

    epochs: int
    steps: int
    seconds: float
    losses: tuple[dict[str, float], ...]
    skipped: int = 0
    class_chunk: int | None = None
    validation: Validation | None = None


@dataclass(frozen=True)
class Outcome:
    """What a selection rule has chosen of a training: the state, on the CPU, and the report."""

    state: Mapping[str, Tensor]
    report: FitReport


def train(
    cell: Cell,
    lab: Lab,
    learner: Learner,
    checkpoint: Path,
    rules: Sequence[Plugin[Selection]] = (),
) -> dict[str, Outcome]:
    """Train a cell's method in place, up to the state that is scored; the lab's listener follows.

    Args:
        checkpoint: the file of snapshots, from which a training that was cut off goes on.
        rules: all that look on, the cell's own among them; that is the only one by default.

    Returns:
        What each rule has chosen, by its name.

    Raises:
        UserError: a loss, a gradient or a parameter that is not finite, with step, term and last
            checkpoint; a selection rule that chooses no state of the method.
        TowersChanged: they are others than before the training, or than before a stage of it.
        Stopped: a signal asked for it; a snapshot of the last step is written.
    """
    rules = rules or (cell.selection,)
    if has_solver(type(learner.method)):
        return _solved(cell, lab, learner, rules)
    return _Fit(cell, lab, learner, checkpoint, rules).run()


def _solved(
    cell: Cell, lab: Lab, learner: Learner, rules: Sequence[Plugin[Selection]]
) -> dict[str, Outcome]:
    """Let a method solve; it has one state, which all rules choose."""
    seconds = _shown(cell, lab, learner, "solve")
    looking_on = _looking_on(cell, lab, learner, rules, EpochAverage())
    looking_on.measure_only_state()
    return _outcomes(cell, looking_on, FitReport(0, 0, seconds, ()), rules)


def _looking_on(
    cell: Cell,
    lab: Lab,
    learner: Learner,
    rules: Sequence[Plugin[Selection]],
    average: EpochAverage,
) -> Rules:
    validates = any(rule.cls.validates for rule in rules)
    method = learner.method
    validator = Validator(cell, lab, method, learner.classes) if validates else None
    return Rules(rules, cell.seed, method, average, validator)


def _outcomes(
    cell: Cell, looking_on: Rules, report: FitReport, rules: Sequence[Plugin[Selection]]
) -> dict[str, Outcome]:
    """What each rule has chosen; the method ends with what the cell's has."""
    states = looking_on.outcomes(cell.selection.name)
    return {
        rule.name: Outcome(
            states[rule.name],
            replace(report, validation=looking_on.validation_of(rule.name, report.epochs)),
        )
        for rule in rules
    }


def _shown(
    cell: Cell, lab: Lab, learner: Learner, function: Literal["solve", "start_from"]
) -> float:
    """Let a function of the method see all training images; the seconds that took."""
    started, label = time.perf_counter(), f"{function.replace('_', ' ')} {cell.label}"
    show(learner.method, function, learner.shots, learner.recipe, lab, cell.seed, label)
    return time.perf_counter() - started


def _tell(listener: Listener, label: str, message: str) -> None:
    listener.message(f"{label}: {message}")


class _Fit:
    """A training by gradient steps: its parts, and the loop over them."""

    def __init__(
        self,
        cell: Cell,
        lab: Lab,
        learner: Learner,
        checkpoint: Path,
        rules: Sequence[Plugin[Selection]],
    ) -> None:
        method, recipe = learner.method, learner.recipe
        self._cell, self._lab, self._learner = cell, lab, learner
        state = to_go_on_from(checkpoint, cell.label, learner.code, lab.listener, rules)
        self._watch = (
            NormWatch(method, learner.classes, learner.shots, lab, cell.label)
            if lab.listener.wants_norms
            else None
        )
        shown = 0.0
        if starts_from_images(type(method)) and state is None:
            shown = _shown(cell, lab, learner, "start_from")
        self._course = course = Course.of(recipe, len(learner.shots), cell.leg.source.shots)
        self._augment = augment_of(recipe, lab)
        under_way = course.stages[max(stage_in(state), 1) - 1]
        self._stepper = Stepper(method, under_way.recipe, lab.compute)
        # Not by a method of this object: a cycle would keep the memory of a graph.
        self._tell = partial(_tell, lab.listener, cell.label)
        self._descent = Descent(
            method, learner.classes, self._stepper, lab.compute, lab.graphs, self._tell
        )
        self._average = recipe.epoch_average(course.n_epochs)
        self._rules, self._asked = _looking_on(cell, lab, learner, rules, self._average), rules
        self._snapshots = Snapshots(
            checkpoint,
            lab,
            learner.code,
            method,
            self._stepper,
            self._average,
            self._rules,
            cell.label,
        )
        self._progress = self._snapshots.resume(state)
        self._progress.seconds += shown

    def run(self) -> dict[str, Outcome]:
        """Train; what each rule has chosen. The method is given what the cell's rule has."""
        cell, listener, progress = self._cell, self._lab.listener, self._progress
        method, course = self._learner.method, self._course
        if progress.losses:
            before = enumerate(progress.losses)
            listener.training_resumed(
                cell, [Epoch(n, course.lr_at(n), losses, {}) for n, losses in before]
            )
        with listener.task(f"fit {cell.label}", course.steps, "steps") as task:
            task.advance(progress.epoch * course.per_epoch + progress.step)
            enter(method.train)
            for epoch in range(progress.epoch, course.n_epochs):
                self._snapshots.restart_clock()  # the time of listeners is not training
                with stopping.deferred() as stop:
                    self._steps(epoch, task, stop)
                    losses = progress.end_epoch()
                    self._average.add(epoch, method)
                    with self._snapshots.aside():
                        self._rules.observe(epoch, losses, epoch + 1 == course.n_epochs)
                    self._snapshots.save(progress)
                    norms = self._watch.norms(epoch) if self._watch else {}
                    listener.epoch_ended(cell, Epoch(epoch, course.lr_at(epoch), losses, norms))
                    stop.fulfil(self._reached)
        self._descent.end()
        self._lab.keeper.refuse_changed()  # here: `eval` may take back what was there in training
        enter(method.eval)
        self._answer_for_skipped(course.steps)
        chunk = self._lab.backbone.towers.chunk_in_use
        report = FitReport(
            progress.epoch, course.steps, progress.seconds, progress.losses, progress.skipped, chunk
        )
        return _outcomes(cell, self._rules, report, self._asked)

    def _steps(self, epoch: int, task: Task, stop: stopping.StopRequest) -> None:
        """Take the steps of an epoch that are left.

        Raises:
            Stopped: it was asked for within the epoch, and the last step is saved.
        """
        lab, course, progress = self._lab, self._course, self._progress
        end = course.steps_in(epoch)
        batches = self._learner.shots.epoch(
            epoch,
            first=progress.step,
            end=end,
            seed=self._cell.seed,
            batch_size=self._learner.recipe.batch_size,
            augment=self._augment,
            workers=lab.workers,
        )
        with seeded(self._cell.seed, "fit", epoch):
            self._snapshots.restore_streams()
            for _, images, labels in lab.compute.placed(batches):
                number = epoch * course.per_epoch + progress.step
                stage = course.stage_at(number)
                if stage.number > progress.stage:
                    self._begin(stage)
                self._stepper.follow(stage, number)
                loss = self._step(images, labels, stage.end - number)
                task.advance(1, f"loss {loss:.3f}")
                if progress.step < end and (stop or self._snapshots.is_due()):
                    self._snapshots.save(progress)
                    stop.fulfil(self._reached)

    def _begin(self, stage: Stage) -> None:
        """Begin a stage: with what the method does then, and a new optimiser."""
        method, compute = self._learner.method, self._lab.compute
        if isinstance(method, Staged):
            if stage.number > 1:  # it may take back what the stage before has changed
                self._lab.keeper.refuse_changed()
            with seeded(self._cell.seed, "stage", stage.number):
                enter(learning, compute, method.begin_stage, stage.number)
        self._stepper.begin(stage.recipe)
        self._descent.begin_stage()
        self._progress.stage = stage.number

    def _step(self, images: Tensor, labels: Tensor, left: int) -> float:
        """Take one step down the gradient of the total loss, which is returned; with it, so many
        are left of the stage."""
        progress = self._progress
        terms, total = self._descent.losses(images, labels, left)
        progress.skipped += not self._stepper.follow_gradient()
        where = f"at epoch {progress.epoch + 1}, step {progress.step + 1}"
        if self._stepper.is_stuck:
            raise diverged(f"{OVERFLOW} {where}, at whatever scale", self._snapshots.last)
        # Only now, when a GPU has all of the step to do, wait for its losses.
        values = finite({**terms, "total": total}, where, self._snapshots.last)
        progress.add_step(values)
        return values["total"]

    def _answer_for_skipped(self, steps: int) -> None:
        """Say how many steps were left out, if any.

        Raises:
            UserError: the gradient of every step has overflowed, so that nothing is learned.
        """
        skipped = self._progress.skipped
        if 0 < skipped == steps:
            raise diverged(f"{OVERFLOW} in every step", self._snapshots.last)
        if skipped:
            self._tell(
                f"{skipped} of {steps} steps were left out, since their "
                "gradient overflowed float16 (--precision bf16 and fp32 have the range for it)"
            )

    @property
    def _reached(self) -> str:
        return f"{self._cell.label}, after {self._progress}"
