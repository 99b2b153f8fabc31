"""One training loop for every method: steps, mixed precision, checkpoints; or its own solver."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from promptbench.data.augmentation import Augment
from promptbench.data.loader import FewShotSet
from promptbench.data.transforms import Normalisation
from promptbench.errors import UserError
from promptbench.isolation import isolated
from promptbench.method import ClassSet, Method, Solver
from promptbench.progress import Task
from promptbench.recipe import Recipe
from promptbench.running.compute import Compute
from promptbench.running.snapshot import Snapshots
from promptbench.seeding import torch_seeded

EpochEnd = Callable[[int, float, Mapping[str, float]], None]


@dataclass(frozen=True)
class FitReport:
    """What training did: steps taken, seconds, and each epoch's mean unweighted loss terms."""

    epochs: int
    steps: int
    seconds: float
    losses: tuple[dict[str, float], ...]


def fit(
    method: Method,
    classes: ClassSet,
    data: FewShotSet,
    recipe: Recipe,
    *,
    seed: int,
    compute: Compute,
    augment: Augment,
    workers: int,
    checkpoint: Path,
    state: Mapping[str, Any] | None,
    every: float,
    task: Task,
    on_epoch: EpochEnd,
) -> FitReport:
    """Train `method` in place; the last epoch counts.

    Args:
        checkpoint: the file that takes a snapshot after every epoch and `every` seconds within one.
        state: the snapshot to go on from (`promptbench.running.snapshot.read`), if there is one.

    Raises:
        UserError: a loss or a parameter that is not finite, with step, term and last checkpoint.
    """
    optimizer, scaler = recipe.build_optimizer(method), compute.scaler()
    average = recipe.epoch_average()
    snapshots = Snapshots(checkpoint, every, compute.device, method, optimizer, scaler, average)
    progress = snapshots.resume(state)
    per_epoch = data.n_batches(recipe.batch_size)
    task.advance(progress.epoch * per_epoch + progress.step)
    clock = time.perf_counter()

    def save() -> None:
        nonlocal clock
        now = time.perf_counter()
        progress.seconds, clock = progress.seconds + now - clock, now
        _refuse_broken(method, f"after {progress}", snapshots.last)
        snapshots.save(progress)

    method.train()
    for epoch in range(progress.epoch, recipe.n_epochs):
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr_at(epoch)
        batches = data.epoch(
            epoch,
            first=progress.step,
            seed=seed,
            batch_size=recipe.batch_size,
            augment=augment,
            workers=workers,
        )
        with torch_seeded(seed, "fit", epoch):
            snapshots.restore_streams()
            for _, images, labels in compute.placed(batches):
                terms, total = _losses(method, classes, images, labels, compute)
                where = f"at epoch {epoch + 1}, step {progress.step + 1}"
                values = _finite({**terms, "total": total}, where, snapshots.last)
                _descend(total, optimizer, scaler)
                progress.add_step(values)
                task.advance(1, f"loss {values['total']:.3f}")
                if progress.step < per_epoch and snapshots.is_due():
                    save()
        means = progress.end_epoch()
        average.add(epoch, method)
        save()
        on_epoch(epoch, recipe.lr_at(epoch), means)
        clock = time.perf_counter()  # what listeners take is no training
    average.load_into(method)
    method.eval()
    steps = progress.epoch * per_epoch
    return FitReport(progress.epoch, steps, progress.seconds, progress.losses)


def _losses(
    method: Method, classes: ClassSet, images: Tensor, labels: Tensor, compute: Compute
) -> tuple[dict[str, Tensor], Tensor]:
    compute.begin_step()
    return isolated(_forward, method, classes, images, labels, compute)


def _descend(total: Tensor, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(total).backward()
    scaler.step(optimizer)
    scaler.update()


def _forward(
    method: Method, classes: ClassSet, images: Tensor, labels: Tensor, compute: Compute
) -> tuple[dict[str, Tensor], Tensor]:
    with compute.autocast():
        terms = method.losses(images, labels, method.prepare(classes))
        return terms, method.total(terms)


def solve(
    method: Solver,
    data: FewShotSet,
    *,
    compute: Compute,
    normalisation: Normalisation,
    workers: int,
    task: Task,
) -> FitReport:
    """Let a method with a solver of its own learn from all images, under the test transform."""
    started = time.perf_counter()

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for batch in data.plain(normalisation, workers):
            yield batch.images.to(compute.device), batch.labels.to(compute.device)
            task.advance(len(batch.keys))

    method.solve(batches())
    return FitReport(0, 0, time.perf_counter() - started, ())


def _finite(terms: Mapping[str, Tensor], where: str, last: str) -> dict[str, float]:
    values = dict(
        zip(terms, torch.stack([t.detach().float() for t in terms.values()]).tolist(), strict=True)
    )
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    if broken:
        raise _diverged(f"loss term {broken[0]!r} is {values[broken[0]]} {where}", last)
    return values


def _refuse_broken(method: Method, where: str, last: str) -> None:
    """A finite loss can leave parameters that are not: such a checkpoint would be of no use."""
    for name, parameter in method.named_parameters():
        if parameter.requires_grad and not bool(torch.isfinite(parameter).all()):
            raise _diverged(f"parameter {name!r} is not finite {where}", last)


def _diverged(what: str, last: str) -> UserError:
    return UserError(
        f"training diverged: {what}; lower Recipe.lr, or use --precision fp32 ({last})"
    )
