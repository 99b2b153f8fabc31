"""Scoring a target of a cell: its predictions on disk, and their counts."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from promptbench.core.method import Method
from promptbench.core.pooling import learned_places
from promptbench.core.protocol import Target
from promptbench.data import loader
from promptbench.planning.cells import Cell
from promptbench.records import TargetResult
from promptbench.records.predictions import FOLDER, encoded
from promptbench.running.lab import Lab
from promptbench.running.predicting import frozen_features
from promptbench.running.predicting.predict import predict, rule_of
from promptbench.storage import leases
from promptbench.storage.files import write_whole
from promptbench.support.seeding import seeded


def score(cell: Cell, lab: Lab, method: Method, target: Target, folder: Path) -> TargetResult:
    """Predict one target and count."""
    data = lab.data[target.dataset]
    classes = cell.told(data.card, loader.class_names(data, target))
    batches = loader.test_batches(
        data, target, lab.backbone.preprocess, lab.workers, cell.limit, lab.images_at_once
    )
    count = loader.n_test_samples(data, target, cell.limit)
    lab.backbone.towers.forget()
    started = time.perf_counter()
    learned = learned_places(cell.leg.source, target, len(data.card.classes))
    rule = rule_of(
        method, "decoupled" if cell.inference == "decoupled" else "unified", target.shift
    )
    with lab.listener.task(f"predict {target.key}", count, "images") as task:
        frozen = frozen_features.of_target(
            lab.backbone,
            data,
            target,
            lab.compute,
            count,
            lab.images_at_once,
            lab.keeper.refuse_changed,
        )
        with seeded(cell.seed, "predict", target.key):
            answered = predict(method, classes, batches, rule, lab.compute, task, frozen, learned)
    table = answered.table
    name = f"{FOLDER}/{target.key.replace('/', '-')}.csv.gz"
    written, found = encoded(table), table.answers(len(classes))
    leases.refuse_lost(lab.out)
    write_whole(folder / name, written)
    return TargetResult(
        dataset=target.dataset,
        classes=target.classes,
        names=target.names,
        split=target.split,
        shift=target.shift,
        correct=found.right.tolist(),
        total=found.total.tolist(),
        learned=learned,
        confusions=table.labels.confusions(len(classes)),
        predictions=name,
        predictions_sha256=hashlib.sha256(written).hexdigest(),
        seconds=round(time.perf_counter() - started, 3),
        class_seconds=round(answered.class_seconds, 6),
    )
