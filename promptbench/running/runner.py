"""The straight line: config -> plan -> cells -> fit -> predict -> record -> report."""

from __future__ import annotations

import datetime
import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from promptbench import records, suites
from promptbench.data import loader
from promptbench.data.loader import FewShotSet
from promptbench.data.shards import ShardSet
from promptbench.method import ClassSet, Method
from promptbench.planning import plan
from promptbench.planning.plan import Cell, Plan
from promptbench.planning.request import Request
from promptbench.protocol import Target
from promptbench.recipe import Recipe
from promptbench.records import Record
from promptbench.registry import PROTOCOLS
from promptbench.running import compute, environment, failures, frozen_features, workers
from promptbench.running.compute import Compute
from promptbench.running.fit import FitReport
from promptbench.running.lab import Lab, open_lab
from promptbench.running.predict import predict, rule_of
from promptbench.running.sharing import work_through
from promptbench.running.training import learner, trained
from promptbench.storage.files import ensure_writable, write_atomically
from promptbench.tracking import Listener, Listeners


def execute(
    requests: Request | Sequence[Request], listener: Listener | None = None
) -> list[Record]:
    """Compute all pending cells of requests and return the records of all their cells, in order.

    Several requests share device, precision, backbone and output folder: those of the first.

    Raises:
        CellsFailed: cells that could not be computed, after all the others were.
        UserError: what the user can mend; cells that were finished before stay on disk.
    """
    asked = [requests] if isinstance(requests, Request) else list(requests)
    first = asked[0]
    resolved = compute.resolve(first.device, first.precision)
    ensure_writable(Path(first.out))
    plans = plan.distinct([plan.build(request, resolved.precision) for request in asked])
    return compute_plans(plans, first, resolved, listener)


def compute_plans(
    plans: Sequence[Plan], request: Request, resolved: Compute, listener: Listener | None = None
) -> list[Record]:
    """`execute` for plans that are made, with the machine's side of one request."""
    if listener is None:
        from promptbench.tracking.terminal import Terminal

        listener = Listener() if request.quiet else Terminal()
    if request.retry_failed:
        for made in plans:
            failures.forget(made.pending(), made.out)
    try:
        for made in plans:
            listener.planned(made)
        pending = [cell for made in plans for cell in made.pending()]
        cells = [cell for cell in pending if failures.reason_of(cell, plans[0].out) is None]
        if len(cells) < len(pending):
            listener.message(f"{len(pending) - len(cells)} cells failed before and are left alone")
        if not pending:
            listener.message("nothing to compute: every cell has its record")
        elif min(request.jobs, len(cells)) > 1:
            workers.compute(plans, cells, request, resolved, listener)
        elif cells:
            _compute(plans, cells, request, resolved, listener)
    finally:
        listener.close()
    return _found(plans)


def _compute(
    plans: Sequence[Plan],
    cells: Sequence[Cell],
    request: Request,
    resolved: Compute,
    listener: Listener,
) -> None:
    """Compute cells in this process."""
    threads = torch.get_num_threads()
    trackers = _trackers(request)
    try:
        lab = open_lab(plans, request, resolved, Listeners([listener, *trackers]))
        work_through(cells, lab, run_cell)
    finally:
        torch.set_num_threads(threads)
        for tracker in trackers:
            tracker.close()


def _found(plans: Sequence[Plan]) -> list[Record]:
    """The records of all cells.

    Raises:
        CellsFailed: some have none.
    """
    found, failed = [], []
    for made in plans:
        for cell in made.cells:
            if cell.is_done(made.out):
                found.append(records.read(cell.folder(made.out) / records.RECORD))
            else:
                failed.append(cell)
    if failed:
        raise failures.error_of(failed, plans[0].out, found)
    return found


def _trackers(request: Request) -> list[Listener]:
    from promptbench.tracking.jsonl import JsonLines

    trackers: list[Listener] = [JsonLines(Path(request.out))]
    if request.wandb != "off":
        from promptbench.tracking.wandb_runs import WandbRuns

        trackers.append(WandbRuns(request.wandb, Path(request.out)))
    return trackers


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
        frozen = frozen_features.of_target(lab.backbone, data, target, lab.compute, count)
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
