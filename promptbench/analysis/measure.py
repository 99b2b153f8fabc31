"""From runs to rows: each method looks at its targets, and every analysis reads what was seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from promptbench.analysis.analysis import Analysis, Look, ScoredTarget
from promptbench.analysis.epochs import over_training
from promptbench.analysis.rows import Number
from promptbench.analysis.runs import Run
from promptbench.analysis.sweep import Sweep, features, sweep
from promptbench.core.method import Method
from promptbench.core.registry import ANALYSES
from promptbench.errors import UserError
from promptbench.records import scores

Rows = dict[str, list[Number]]  # by analysis
Sweeps = Mapping[str, Sweep]  # by what the run calls the target; the learned classes first


@dataclass(frozen=True)
class Extent:
    """How much is looked at: images per target at most (0: all), and whether over training."""

    images: int = 2000
    over_training: bool = False


def measure(
    run: Run, wanted: Mapping[str, Analysis], extent: Extent, failed: dict[str, str]
) -> Rows:
    """The rows of one run, by analysis; none where an analysis does not apply to its method.

    `failed` takes what an analysis of somebody else's raises; the others go on.
    """
    found: Rows = defaultdict(list)
    method = run.method()
    seen = _seen(run, method, extent.images)
    edited = seen["base"].edited
    if edited and run.shifted and any(analysis.untrained for analysis in wanted.values()):
        seen = _with_untrained(run, seen, extent.images)
    _read(wanted, look_of(run, None, seen), found, failed)
    curves = {name: analysis for name, analysis in wanted.items() if analysis.over_training}
    if extent.over_training and curves and edited:
        for epoch, state in over_training(run).items():
            method.load_state_dict(state, strict=True)
            then = _seen(run, method.eval(), extent.images)
            _read(curves, look_of(run, epoch, then), found, failed)
    return found


def _read(wanted: Mapping[str, Analysis], look: Look, found: Rows, failed: dict[str, str]) -> None:
    for name, analysis in wanted.items():
        if name in failed:
            continue
        try:
            with ANALYSES.blaming(name):
                found[name] += analysis.rows(look)
        except UserError as error:
            failed[name] = str(error)


def _seen(run: Run, method: Method, images: int) -> Sweeps:
    targets = [run.reference, *run.shifted]
    label = f"look at {run.cell.label}"
    with run.lab.listener.task(label, len(targets), "targets") as task:
        found = {}
        for target in targets:
            found[run.name(target)] = sweep(run, method, target, images)
            task.advance()
    return found


def _with_untrained(run: Run, seen: Sweeps, images: int) -> Sweeps:
    """The sweeps with the features that the method gives before its training."""
    method = run.learner().method.eval()
    label = f"look at {run.cell.label} before training"
    with run.lab.listener.task(label, len(seen), "targets") as task:
        found = {}
        for name, own in seen.items():
            untrained = features(run, method, own.target, images)
            found[name] = replace(own, untrained=untrained)
            task.advance()
    return found


def look_of(run: Run, epoch: int | None, seen: Sweeps) -> Look:
    """What the analyses see of a run."""
    record = run.record
    return Look(
        title=run.title,
        method=record.method.name,
        dataset=record.source.dataset,
        seed=record.seed,
        epoch=epoch,
        sweeps=seen,
        scored=tuple(_scored(run)),
    )


def _scored(run: Run) -> Iterator[ScoredTarget]:
    """The usual metric on the record's targets, and on those of their classes that have images."""
    metric = scores.load()
    results = {result.key: result for result in run.record.targets}
    for target in run.cell.leg.targets:
        result, names = results[target.key], run.class_names(target)
        counts = zip(names, result.correct, result.total, strict=True)
        classes = [
            (n, scores.per_class(right, total, metric)) for n, right, total in counts if total
        ]
        for value in scores.of_counts(metric, result).values():
            own = tuple((name, each) for name, each in classes if each is not None)
            yield ScoredTarget(run.name(target), metric.name, value, own)
