"""The straight line of one cell: the method, its training, predictions, the record."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path

import torch

from promptbench import records
from promptbench.config import suites
from promptbench.core import selection
from promptbench.core.traits import extra_data_of
from promptbench.data import fewshot
from promptbench.data.shards.shards import ShardSet
from promptbench.isolation import audit
from promptbench.isolation.entering import learnables
from promptbench.planning.cells import Cell
from promptbench.planning.standing import as_used
from promptbench.records import Record
from promptbench.running import attempts
from promptbench.running.lab import Lab, environment
from promptbench.running.predicting.scoring import score
from promptbench.running.training.folder import trained
from promptbench.running.training.learner import Learner, in_force, learner
from promptbench.running.training.train import FitReport
from promptbench.storage.files import write_whole


def run_cell(cell: Cell, lab: Lab) -> Record:
    """One cell, from its configuration to its record.

    Raises:
        Refused: the method looked at what it is not given.
        LeaseLost: another worker has taken the cell over; nothing was written since.
    """
    with audit.watched(cell.method.cls):
        return _run(cell, lab)


def _run(cell: Cell, lab: Lab) -> Record:
    lab.listener.cell_started(cell)
    if lab.compute.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(lab.compute.device)
    folder = cell.folder(lab.out)
    made = learner(cell, lab)
    report, parameters = trained(cell, lab, made)
    targets = [score(cell, lab, made.method, target, folder) for target in cell.leg.targets]
    lab.vouch()
    if parameters is not None:
        learned = parameters.read_bytes()
        write_whole(folder / records.PARAMETERS, learned)
    record = _record_of(cell, lab, made, report, parameters, targets)
    lab.vouch()
    attempts.forget(folder)  # a finished folder has none
    records.finish(record, folder)
    lab.listener.cell_ended(cell, record)
    return record


def _record_of(
    cell: Cell,
    lab: Lab,
    learner: Learner,
    report: FitReport,
    parameters: Path | None,
    targets: list[records.TargetResult],
) -> Record:
    """The record; `parameters` is the file of what was learned, if anything was."""
    source, backbone = cell.leg.source, lab.backbone
    used = dict.fromkeys([source.dataset, *(target.dataset for target in cell.leg.targets)])
    return Record(
        cell_id=cell.id,
        training_id=cell.training_id,
        suite=cell.suite,
        comparable=as_used(
            suites.load(cell.suite), backbone.name, backbone.weights, backbone.sha256, used
        ).comparable,
        method=_method_info(cell, learner),
        preset=cell.preset,
        overrides=cell.overrides,
        inference=cell.inference,
        protocol=records.ProtocolInfo(
            name=cell.protocol,
            version=cell.protocol_version,
            selection=selection.recorded(cell.selection),
        ),
        source=records.SourceInfo(
            dataset=source.dataset,
            classes=source.classes,
            shots=source.shots,
            keys=[item.key for item in learner.shots.items],
        ),
        seed=cell.seed,
        limit=cell.limit,
        backbone=_backbone_info(lab),
        config=learner.operative,
        config_sha256=_sha256(learner.operative.encode()),
        data={name: _data_info(lab.data[name], cell) for name in used},
        training=_training_info(cell, learner, report, parameters),
        validation=_validation_info(cell, report),
        tuning=cell.tuning,
        targets=targets,
        environment=environment.describe(lab.compute),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _method_info(cell: Cell, learner: Learner) -> records.MethodInfo:
    cls = cell.method.cls
    return records.MethodInfo(
        name=cell.method.name,
        title=cls.title,
        paper=cls.paper,
        paradigm=cls.paradigm,
        provider=cell.method.provider,
        parameters=cell.parameters,
        learned_parameters=sum(p.numel() for _, p in learnables(learner.method) if p.requires_grad),
        extra_data=extra_data_of(cls, cell.parameters),
        source_sha256=cell.method.source_sha256,
    )


def _backbone_info(lab: Lab) -> records.BackboneInfo:
    backbone, preprocess = lab.backbone, lab.backbone.preprocess
    return records.BackboneInfo(
        name=backbone.name,
        weights=backbone.weights,
        sha256=backbone.sha256,
        activation_verified=backbone.activation_verified,
        image_size=preprocess.size,
        mean=preprocess.mean,
        std=preprocess.std,
        interpolation=preprocess.interpolation,
        resize_mode=preprocess.resize_mode,
        fill_color=preprocess.fill_color if preprocess.resize_mode == "longest" else None,
        weights_preset=backbone.preset,
    )


def _training_info(
    cell: Cell, learner: Learner, report: FitReport, parameters: Path | None
) -> records.TrainingInfo:
    return records.TrainingInfo(
        recipe=in_force(cell, learner.recipe) if parameters else {},
        epochs=report.epochs,
        steps=report.steps,
        seconds=round(report.seconds, 3),
        losses=list(report.losses),
        class_chunk=report.class_chunk,
        parameters_sha256=_sha256(parameters.read_bytes()) if parameters else None,
    )


def _validation_info(cell: Cell, report: FitReport) -> records.ValidationInfo | None:
    found = report.validation
    if found is None:
        return None
    return records.ValidationInfo(
        fingerprint=fewshot.fingerprint(found.keys),
        images=len(found.keys),
        per_class=cell.leg.source.validation_shots,
        keys=list(found.keys),
        accuracy=list(found.accuracy),
        epoch=found.epoch,
        seconds=found.seconds,
    )


def _data_info(data: ShardSet, cell: Cell) -> records.DataInfo:
    class_sets = cell.leg.class_sets.get(data.card.name, {})
    texts = cell.class_texts.get(data.card.name)
    return records.DataInfo(
        card_version=data.card.version,
        card_sha256=data.card.digest,
        shards_sha256=data.index.digest,
        resize_short=data.index.resize_short,
        class_sets={name: list(labels) for name, labels in class_sets.items()} or None,
        class_texts=texts.file if texts else None,
        class_texts_sha256=texts.sha256 if texts else None,
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
