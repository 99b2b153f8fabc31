"""Scoring a target of a cell: its predictions on disk, and their counts."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from promptbench.core.method import ClassSet, Method
from promptbench.core.protocol import Target
from promptbench.data import loader
from promptbench.planning.cells import Cell
from promptbench.records import TargetResult
from promptbench.running.lab import Lab
from promptbench.running.predicting import frozen_features
from promptbench.running.predicting.predict import predict, rule_of
from promptbench.support.seeding import seeded


def score(cell: Cell, lab: Lab, method: Method, target: Target, folder: Path) -> TargetResult:
    """Predict one target and count."""
    data = lab.data[target.dataset]
    classes = ClassSet(loader.class_names(data, target), data.card.template)
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
            lab.backbone,
            data,
            target,
            lab.compute,
            count,
            lab.eval_batch,
            lab.keeper.refuse_changed,
        )
        with seeded(cell.seed, "predict", target.key):
            predictions = predict(method, classes, batches, rule, lab.compute, task, frozen)
    name = f"predictions/{target.key.replace('/', '-')}.csv.gz"
    predictions.write(folder / name)
    return TargetResult(
        dataset=target.dataset,
        classes=target.classes,
        names=target.names,
        split=target.split,
        shift=target.shift,
        correct=predictions.correct_per_class(),
        total=predictions.total_per_class(),
        predictions=name,
        predictions_sha256=hashlib.sha256((folder / name).read_bytes()).hexdigest(),
        seconds=round(time.perf_counter() - started, 3),
    )
