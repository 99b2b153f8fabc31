"""One training loop for every method: steps, mixed precision, checkpoints; or its own solver."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from promptbench.averaging import EpochAverage
from promptbench.compute import Compute
from promptbench.data.loader import FewShotSet
from promptbench.data.transforms import Normalisation
from promptbench.errors import UserError
from promptbench.files import write_atomically
from promptbench.isolation import isolated
from promptbench.method import ClassSet, Method, Solver
from promptbench.recipe import Recipe
from promptbench.seeding import torch_seeded
from promptbench.tracking import Task

EpochEnd = Callable[[int, float, Mapping[str, float]], None]


@dataclass(frozen=True)
class FitReport:
    """What training did: steps taken, seconds, and each epoch's mean unweighted loss terms."""

    epochs: int
    steps: int
    seconds: float
    losses: tuple[dict[str, float], ...]


@dataclass
class _Progress:
    """Where a training stands; what a checkpoint holds beside tensors."""

    epoch: int = 0
    seconds: float = 0.0
    losses: tuple[dict[str, float], ...] = ()


def fit(
    method: Method,
    classes: ClassSet,
    data: FewShotSet,
    recipe: Recipe,
    *,
    seed: int,
    compute: Compute,
    normalisation: Normalisation,
    workers: int,
    checkpoint: Path,
    task: Task,
    on_epoch: EpochEnd,
) -> FitReport:
    """Train `method` in place, from its last checkpoint if there is one; the last epoch counts.

    Raises:
        UserError: a loss that is not finite, with the step and the term.
    """
    optimizer, scaler = recipe.build_optimizer(method), compute.scaler()
    average = recipe.epoch_average()
    progress = _resume(checkpoint, method, optimizer, scaler, average, compute.device)
    per_epoch = data.n_batches(recipe.batch_size)
    task.advance(progress.epoch * per_epoch)
    method.train()
    for epoch in range(progress.epoch, recipe.n_epochs):
        started = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr_at(epoch)
        sums: dict[str, float] = defaultdict(float)
        batches = data.epoch(
            epoch,
            seed=seed,
            batch_size=recipe.batch_size,
            target=normalisation,
            crop_scale=recipe.crop_scale,
            flip=recipe.flip,
            workers=workers,
        )
        with torch_seeded(seed, "fit", epoch):
            for number, (_, images, labels) in enumerate(compute.placed(batches)):
                where = f"epoch {epoch + 1}, step {number + 1}"
                terms = _step(method, classes, images, labels, optimizer, scaler, compute, where)
                for name, value in terms.items():
                    sums[name] += value
                task.advance(1, f"loss {terms['total']:.3f}")
        means = {name: total / per_epoch for name, total in sums.items()}
        progress.epoch = epoch + 1
        progress.seconds += time.perf_counter() - started
        progress.losses = (*progress.losses, means)
        average.add(epoch, method)
        _save(checkpoint, progress, method, optimizer, scaler, average)
        on_epoch(epoch, recipe.lr_at(epoch), means)
    average.load_into(method)
    method.eval()
    steps = progress.epoch * per_epoch
    return FitReport(progress.epoch, steps, progress.seconds, progress.losses)


def _step(
    method: Method,
    classes: ClassSet,
    images: Tensor,
    labels: Tensor,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    compute: Compute,
    where: str,
) -> dict[str, float]:
    compute.begin_step()
    terms, total = isolated(_forward, method, classes, images, labels, compute)
    values = _finite(dict(terms, total=total), where)
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(total).backward()
    scaler.step(optimizer)
    scaler.update()
    return values


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


def _finite(terms: Mapping[str, Tensor], where: str) -> dict[str, float]:
    values = dict(
        zip(terms, torch.stack([t.detach().float() for t in terms.values()]).tolist(), strict=True)
    )
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    if broken:
        raise UserError(
            f"training diverged: loss term {broken[0]!r} is {values[broken[0]]} at {where}; "
            "lower Recipe.lr, or use --precision fp32"
        )
    return values


def _save(
    path: Path,
    progress: _Progress,
    method: Method,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    average: EpochAverage,
) -> None:
    state: dict[str, Any] = {
        "epoch": progress.epoch,
        "seconds": progress.seconds,
        "losses": list(progress.losses),
        "method": method.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scaler": scaler.state_dict(),
        "average": average.sums,
    }
    write_atomically(path, lambda file: torch.save(state, file))


def _resume(
    path: Path,
    method: Method,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    average: EpochAverage,
    device: torch.device,
) -> _Progress:
    if not path.is_file():
        return _Progress()
    state = torch.load(path, map_location=device, weights_only=True)
    method.load_state_dict(state["method"], strict=True)
    optimizer.load_state_dict(state["optimizer"])
    scaler.load_state_dict(state["scaler"])
    average.sums = state["average"]
    return _Progress(state["epoch"], state["seconds"], tuple(state["losses"]))
