"""How long a method's steps and predictions take here: from records, or measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from promptbench import backbones, config, records
from promptbench.backbones import Backbone
from promptbench.data import cards, fewshot
from promptbench.data.loader import EVAL_BATCH
from promptbench.errors import UserError
from promptbench.method import ClassSet, Method
from promptbench.planning.plan import Cell
from promptbench.records import Record
from promptbench.running import environment, failures
from promptbench.running.compute import Compute
from promptbench.seeding import torch_seeded
from promptbench.suites import Suite

_STEPS = 3  # measured after one that warms up


@dataclass(frozen=True)
class Pace:
    """Seconds per training image and step, and per scored image; bytes of what is learnt."""

    step: float
    batch: int
    per_image: float
    parameter_bytes: int
    from_record: bool

    def per_step(self, batch: int) -> float:
        """Seconds per step of another batch size; taken as proportional to it."""
        return self.step * batch / self.batch


def from_records(out: Path, like: Cell, resolved: Compute) -> dict[str, Pace]:
    """The pace of each method in the records under `out` made on this device with these weights.

    Of several records of a method, the one with the most steps counts; what is no whole record is
    passed over, since a run computes it anew.
    """
    device = environment.device_name(resolved)
    best: dict[str, Record] = {}
    for path in records.find([out]):
        try:
            r = records.read(path)
        except UserError:
            continue
        here = (r.environment.device, r.environment.precision, r.backbone.sha256)
        if here != (device, resolved.precision, like.weights_sha256):
            continue
        known = best.setdefault(r.method.name, r)
        if r.training.steps > known.training.steps:
            best[r.method.name] = r
    return {name: _pace_of(r) for name, r in best.items()}


def _pace_of(r: Record) -> Pace:
    images = sum(sum(target.total) for target in r.targets)
    steps = r.training.steps
    return Pace(
        step=r.training.seconds / steps if steps else 0.0,
        batch=int(r.training.recipe.get("batch_size", 1)),
        per_image=sum(target.seconds for target in r.targets) / max(images, 1),
        parameter_bytes=4 * r.method.learned_parameters,
        from_record=True,
    )


def measure(
    cells: Mapping[str, Cell], suite: Suite, resolved: Compute, threads: int | None
) -> tuple[dict[str, Pace], dict[str, str]]:
    """The pace of each method, from a few steps of its cell on random images, thrown away.

    The second are those that fail, with the reason.
    """
    usual = torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    try:
        backbone = backbones.load(suite.backbone, suite.weights, resolved.device)
        paces, broken = {}, {}
        for name, cell in cells.items():
            try:
                paces[name] = _measured(cell, backbone, resolved)
            except Exception as error:  # plugins may raise anything, and the others are measured
                broken[name] = failures.reason(error)
        return paces, broken
    finally:
        torch.set_num_threads(usual)


def source_labels(cell: Cell) -> range:
    """The labels of the half that a cell learns."""
    card = cards.load(cell.leg.source.dataset)
    return fewshot.half_of(len(card.classes), cell.leg.source.classes)


def _measured(cell: Cell, backbone: Backbone, resolved: Compute) -> Pace:
    card = cards.load(cell.leg.source.dataset)
    labels = source_labels(cell)
    classes = ClassSet(tuple(card.classes[label] for label in labels), card.template)
    values = {cell.method.cls.__name__: cell.parameters}
    with torch_seeded(cell.seed, "stopwatch"), config.unscoped(values):
        method: Method = cell.method.cls(backbone.towers, classes)
    method.to(resolved.device)
    batch = int(cell.recipe.get("batch_size", 1))
    learnt = [p for p in method.parameters() if p.requires_grad]
    step = _step_seconds(method, classes, batch, backbone, resolved) if learnt else 0.0
    return Pace(
        step=step,
        batch=batch,
        per_image=_image_seconds(method, classes, backbone, resolved),
        parameter_bytes=sum(p.numel() * p.element_size() for p in learnt),
        from_record=False,
    )


def _images(count: int, backbone: Backbone, resolved: Compute) -> torch.Tensor:
    size = backbone.preprocess.size
    return torch.zeros(count, 3, size, size, device=resolved.device)


def _step_seconds(
    method: Method, classes: ClassSet, batch: int, backbone: Backbone, resolved: Compute
) -> float:
    """Forward and backward without an optimiser's step: nothing is learnt."""
    images = _images(batch, backbone, resolved)
    labels = torch.arange(batch, device=resolved.device) % len(classes)

    def step() -> None:
        with resolved.autocast():
            total = method.total(method.losses(images, labels, method.prepare(classes)))
        total.backward()
        method.zero_grad(set_to_none=True)

    method.train()
    step()
    return _timed(step, _STEPS, resolved)


def _image_seconds(
    method: Method, classes: ClassSet, backbone: Backbone, resolved: Compute
) -> float:
    images = _images(EVAL_BATCH, backbone, resolved)
    method.eval()
    with torch.inference_mode(), resolved.autocast():
        prepared = method.prepare(classes)
        return _timed(lambda: method.logits(images, prepared), 1, resolved) / EVAL_BATCH


def _timed(function: Callable[[], object], times: int, resolved: Compute) -> float:
    started = time.perf_counter()
    for _ in range(times):
        function()
    if resolved.device.type == "cuda":
        torch.cuda.synchronize(resolved.device)
    return (time.perf_counter() - started) / times
