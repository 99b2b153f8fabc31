"""The straight line: config -> plan -> cells -> fit -> predict -> record -> report."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gin
import torch

from promptbench import (
    backbones,
    compute,
    config,
    environment,
    frozen_features,
    plan,
    records,
    suites,
)
from promptbench.backbones import Backbone
from promptbench.compute import Compute
from promptbench.data import loader, store
from promptbench.data.loader import FewShotSet
from promptbench.data.shards import ShardSet
from promptbench.files import ensure_writable, write_atomically
from promptbench.fit import FitReport, fit
from promptbench.method import ClassSet, Method
from promptbench.plan import Cell, Plan
from promptbench.predict import predict, rule_of
from promptbench.protocol import Target
from promptbench.recipe import Recipe
from promptbench.records import Record
from promptbench.registry import PROTOCOLS
from promptbench.request import Request
from promptbench.seeding import torch_seeded
from promptbench.towers import Towers
from promptbench.tracking import Listener, Listeners


@dataclass(frozen=True)
class Lab:
    """What cells share: backbone, prepared data, device, and who listens."""

    backbone: Backbone
    data: dict[str, ShardSet]
    compute: Compute
    workers: int
    out: Path
    listener: Listener


def execute(request: Request, listener: Listener | None = None) -> list[Record]:
    """Compute all pending cells of a request and return the records of all its cells, in order.

    Raises:
        UserError: what the user can mend; cells that were finished before stay on disk.
    """
    if listener is None:
        from promptbench.tracking.terminal import Terminal

        listener = Listener() if request.quiet else Terminal()
    resolved = compute.resolve(request.device, request.precision)
    ensure_writable(Path(request.out))
    made = plan.build(request, resolved.precision)
    listener = _with_tracking(listener, request)
    threads = torch.get_num_threads()
    try:
        listener.planned(made)
        lab = open_lab(made, request, resolved, listener)
        for cell in made.pending():
            run_cell(cell, lab)
    finally:
        torch.set_num_threads(threads)
        listener.close()
    return [records.read(cell.folder(made.out) / "record.json") for cell in made.cells]


def _with_tracking(listener: Listener, request: Request) -> Listener:
    from promptbench.tracking.jsonl import JsonLines

    listeners = [listener, JsonLines(Path(request.out))]
    if request.wandb != "off":
        from promptbench.tracking.wandb_runs import WandbRuns

        listeners.append(WandbRuns(request.wandb, Path(request.out)))
    return Listeners(listeners)


def open_lab(made: Plan, request: Request, resolved: Compute, listener: Listener) -> Lab:
    """Load the backbone and prepare the data, once for all cells."""
    if resolved.device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    if made.suite.threads and request.backbone is None:
        torch.set_num_threads(made.suite.threads)
    backbone = backbones.load(made.suite.backbone, made.suite.weights, resolved.device)
    _prepare_towers(backbone.towers, request, resolved)
    data = {name: store.provide(name, request.root, listener) for name in made.datasets()}
    return Lab(backbone, data, resolved, request.workers, made.out, listener)


def _prepare_towers(towers: Towers, request: Request, resolved: Compute) -> None:
    towers.class_chunk = request.class_chunk
    if resolved.dtype != torch.float32:
        towers.cast(resolved.dtype)
    if request.compile:
        towers.compile(lambda message: warnings.warn(message, stacklevel=2))


def run_cell(cell: Cell, lab: Lab) -> Record:
    """One cell, from its configuration to its record."""
    lab.listener.cell_started(cell)
    if lab.compute.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(lab.compute.device)
    source = lab.data[cell.leg.source.dataset]
    shots = loader.few_shot_set(source, cell.leg.source, cell.seed)
    classes = ClassSet(shots.class_names, source.card.template)
    folder = cell.folder(lab.out)
    with config.configured(cell.sources, cell.known, cell.scope):
        with torch_seeded(cell.seed, "init"):
            method: Method = cell.method.cls(lab.backbone.towers, classes)
        recipe = Recipe()
        operative = gin.operative_config_str()
    method.to(lab.compute.device)
    report, parameters = _trained(cell, lab, method, classes, shots, recipe)
    targets = [_score(cell, lab, method, target, folder) for target in cell.leg.targets]
    if parameters is not None:
        shutil.copyfile(parameters, folder / "learned.safetensors")
    record = _record(cell, lab, method, recipe, shots, operative, report, parameters, targets)
    records.write(record, folder / "record.json")
    lab.listener.cell_ended(cell, record)
    return record


def _trained(
    cell: Cell, lab: Lab, method: Method, classes: ClassSet, shots: FewShotSet, recipe: Recipe
) -> tuple[FitReport, Path | None]:
    """Train, or load what a cell with the same training has learnt already."""
    from safetensors.torch import load_file, save

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
    steps = recipe.epochs * shots.n_batches(recipe.batch_size)
    with lab.listener.task(f"fit {cell.label}", steps, "steps") as task:
        report = fit(
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
    state = {key: value.detach().cpu().contiguous() for key, value in method.state_dict().items()}
    write_atomically(learned, lambda file: file.write(save(state)))
    write_atomically(summary, lambda file: file.write(json.dumps(asdict(report)).encode()))
    checkpoint.unlink(missing_ok=True)
    return report, learned


def _fit_report(stored: dict[str, Any]) -> FitReport:
    return FitReport(**{**stored, "losses": tuple(stored["losses"])})


def _score(
    cell: Cell, lab: Lab, method: Method, target: Target, folder: Path
) -> records.TargetResult:
    """Predict one target and count."""
    data = lab.data[target.dataset]
    classes = ClassSet(loader.class_names(data, target.classes), data.card.template)
    batches = loader.test_batches(data, target, lab.backbone.preprocess, lab.workers, cell.limit)
    count = loader.n_test_samples(data, target, cell.limit)
    started = time.perf_counter()
    rule = rule_of(
        method, "decoupled" if cell.inference == "decoupled" else "unified", target.shift
    )
    with lab.listener.task(f"predict {target.key}", count, "images") as task:
        frozen = frozen_features.of_target(lab.backbone, data, target, lab.compute, count)
        predictions = predict(method, classes, batches, rule, lab.compute, task, frozen)
    name = f"predictions/{target.dataset}-{target.classes}.csv.gz"
    predictions.write(folder / name)
    return records.TargetResult(
        dataset=target.dataset,
        classes=target.classes,
        split=target.split,
        shift=target.shift,
        correct=predictions.correct_per_class(),
        total=predictions.total_per_class(),
        predictions=name,
        predictions_sha256=_sha256((folder / name).read_bytes()),
        seconds=round(time.perf_counter() - started, 3),
    )


def _record(
    cell: Cell,
    lab: Lab,
    method: Method,
    recipe: Recipe,
    shots: FewShotSet,
    operative: str,
    report: FitReport,
    parameters: Path | None,
    targets: list[records.TargetResult],
) -> Record:
    source, plugin = cell.leg.source, cell.method
    used = dict.fromkeys([source.dataset, *(target.dataset for target in cell.leg.targets)])
    return Record(
        cell_id=cell.id,
        training_id=cell.training_id,
        suite=cell.suite,
        comparable=suites.load(cell.suite).comparable,
        method=records.MethodInfo(
            name=plugin.name,
            title=method.title,
            paper=method.paper,
            paradigm=method.paradigm,
            provider=plugin.provider,
            parameters=cell.parameters,
            learned_parameters=sum(p.numel() for p in method.parameters() if p.requires_grad),
        ),
        preset=cell.preset,
        overrides=cell.overrides,
        inference=cell.inference,
        protocol=records.ProtocolInfo(
            name=cell.protocol,
            version=cell.protocol_version,
            selection=PROTOCOLS.load(cell.protocol).cls.selection,
        ),
        source=records.SourceInfo(
            dataset=source.dataset,
            classes=source.classes,
            shots=source.shots,
            keys=[item.key for item in shots.items],
        ),
        seed=cell.seed,
        limit=cell.limit,
        backbone=records.BackboneInfo(
            name=lab.backbone.name,
            weights=lab.backbone.weights,
            sha256=lab.backbone.sha256,
            activation_verified=lab.backbone.activation_verified,
            image_size=lab.backbone.preprocess.size,
        ),
        config=operative,
        config_sha256=_sha256(operative.encode()),
        data={name: _data_info(lab.data[name]) for name in used},
        training=records.TrainingInfo(
            recipe=asdict(recipe) if parameters else {},
            epochs=report.epochs,
            steps=report.steps,
            seconds=round(report.seconds, 3),
            losses=list(report.losses),
            parameters_sha256=_sha256(parameters.read_bytes()) if parameters else None,
        ),
        targets=targets,
        environment=environment.describe(lab.compute),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _data_info(data: ShardSet) -> records.DataInfo:
    return records.DataInfo(
        card_version=data.card.version,
        card_sha256=data.card.digest,
        shards_sha256=data.index.digest,
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
