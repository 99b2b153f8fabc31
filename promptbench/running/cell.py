"""One cell: from its configuration to its record, through training and prediction."""

from __future__ import annotations

import datetime
import hashlib
import time
from dataclasses import asdict
from pathlib import Path

import torch

from promptbench import records, suites
from promptbench.data import loader
from promptbench.data.loader import FewShotSet
from promptbench.data.shards import ShardSet
from promptbench.method import ClassSet, Method
from promptbench.planning.plan import Cell
from promptbench.protocol import Target
from promptbench.recipe import Recipe
from promptbench.records import Record
from promptbench.registry import PROTOCOLS
from promptbench.running import environment, frozen_features
from promptbench.running.fit import FitReport
from promptbench.running.lab import Lab
from promptbench.running.predict import predict, rule_of
from promptbench.running.training import learner, trained
from promptbench.storage.files import write_atomically


def run_cell(cell: Cell, lab: Lab) -> Record:
    """One cell, from its configuration to its record."""
    lab.listener.cell_started(cell)
    if lab.compute.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(lab.compute.device)
    folder = cell.folder(lab.out)
    made = learner(cell, lab)
    method, shots, recipe = made.method, made.shots, made.recipe
    report, parameters = trained(cell, lab, method, made.classes, shots, recipe)
    targets = [_score(cell, lab, method, target, folder) for target in cell.leg.targets]
    if parameters is not None:
        learnt = parameters.read_bytes()
        write_atomically(folder / records.PARAMETERS, lambda file: file.write(learnt))
    record = _record(cell, lab, method, recipe, shots, made.operative, report, parameters, targets)
    records.finish(record, folder)
    lab.listener.cell_ended(cell, record)
    return record


def _score(
    cell: Cell, lab: Lab, method: Method, target: Target, folder: Path
) -> records.TargetResult:
    """Predict one target and count."""
    data = lab.data[target.dataset]
    classes = ClassSet(loader.class_names(data, target.scored_over), data.card.template)
    batches = loader.test_batches(
        data, target, lab.backbone.preprocess, lab.workers, cell.limit, lab.eval_batch
    )
    count = loader.n_test_samples(data, target, cell.limit)
    lab.backbone.towers.forget()
    started = time.perf_counter()
    rule = rule_of(
        method, "decoupled" if cell.inference == "decoupled" else "unified", target.shift
    )
    with lab.listener.task(f"predict {target.key}", count, "images") as task:
        frozen = frozen_features.of_target(
            lab.backbone, data, target, lab.compute, count, lab.eval_batch
        )
        predictions = predict(method, classes, batches, rule, lab.compute, task, frozen)
    name = f"predictions/{target.key.replace('/', '-')}.csv.gz"
    predictions.write(folder / name)
    return records.TargetResult(
        dataset=target.dataset,
        classes=target.classes,
        names=target.names,
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
        resize_short=data.index.resize_short,
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
