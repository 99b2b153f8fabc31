"""From runs to rows: each method looks at its targets, and every analysis reads what was seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from promptbench import scores
from promptbench.analysis import field, geometry
from promptbench.analysis.epochs import over_training
from promptbench.analysis.rows import Row
from promptbench.analysis.runs import Run
from promptbench.analysis.sweep import Sweep, features, sweep
from promptbench.method import Method

ANALYSES = ("norms", "attention", "geometry", "field")
OVER_TRAINING = ("norms", "field")
Rows = dict[str, list[Row]]  # by analysis
Sweeps = Mapping[str, Sweep]  # by what the run calls the target; the learnt classes first


@dataclass(frozen=True)
class Extent:
    """How much is looked at: images per target at most (0: all), and whether over training."""

    images: int = 2000
    over_training: bool = False


def measure(run: Run, wanted: Sequence[str], extent: Extent) -> Rows:
    """The rows of one run, by analysis; none where an analysis does not apply to its method."""
    found: Rows = defaultdict(list)
    method = run.method()
    seen = _seen(run, method, extent.images)
    if "field" in wanted and seen["base"].edited and run.shifted:
        seen = _with_untrained(run, seen, extent.images)
    for analysis in wanted:
        found[analysis] += _READERS[analysis](run, None, seen)
    curves = [analysis for analysis in wanted if analysis in OVER_TRAINING]
    if extent.over_training and curves and seen["base"].edited:
        for epoch, state in over_training(run).items():
            method.load_state_dict(state, strict=True)
            then = _seen(run, method.eval(), extent.images)
            for analysis in curves:
                found[analysis] += _READERS[analysis](run, epoch, then)
    return found


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


# --- one reader per analysis --------------------------------------------------------------------

Make = Callable[..., Row]


def _maker(run: Run, epoch: int | None) -> Make:
    record = run.record
    return partial(
        Row,
        title=run.title,
        method=record.method.name,
        dataset=record.source.dataset,
        seed=record.seed,
        epoch=epoch,
        item="",
    )


def _norms(run: Run, epoch: int | None, seen: Sweeps) -> Iterator[Row]:
    make = _maker(run, epoch)
    for name, found in seen.items():
        for stage, block, quantity, value in found.norms.numbers():
            yield make(target=name, part=stage, block=block, quantity=quantity, value=value)


def _attention(run: Run, epoch: int | None, seen: Sweeps) -> Iterator[Row]:
    make = _maker(run, epoch)
    for name, found in seen.items():
        for group, block, quantity, value in found.attention.numbers():
            yield make(target=name, part=group, block=block, quantity=quantity, value=value)


def _geometry(run: Run, epoch: int | None, seen: Sweeps) -> Iterator[Row]:
    make = _maker(run, epoch)
    for name, found in seen.items():
        for feature, quantity, value in geometry.numbers(found):
            yield make(target=name, part=feature, block=None, quantity=quantity, value=value)


def _field(run: Run, epoch: int | None, seen: Sweeps) -> Iterator[Row]:
    make = partial(_maker(run, epoch), block=None)
    base, *others = seen
    if not seen[base].edited or not others:
        return
    for name in others:
        for part, quantity, value in field.numbers(
            seen[base], seen[name], run.record.seed, full=epoch is None
        ):
            yield make(target=name, part=part, quantity=quantity, value=value)
    if epoch is None:
        yield from _scores(run, make)
    if epoch is None and len(others) == 1:
        for name, other in ((base, others[0]), (others[0], base)):
            for part, item, quantity, value in field.per_class(seen[name], seen[other]):
                yield make(target=name, part=part, item=item, quantity=quantity, value=value)


def _scores(run: Run, make: Make) -> Iterator[Row]:
    """The usual metric, of a target and of its classes, from the record."""
    metric = scores.load()
    results = {result.key: result for result in run.record.targets}
    for target in run.cell.leg.targets:
        result, name = results[target.key], run.name(target)
        make_one = partial(make, target=name, part="", quantity=metric.name)
        yield make_one(value=scores.of_counts(metric, result)[result.key])
        classes = run.class_names(target)
        for item, correct, total in zip(classes, result.correct, result.total, strict=True):
            if total:
                yield make_one(item=item, value=scores.per_class(correct, total, metric))


_READERS: dict[str, Callable[[Run, int | None, Sweeps], Iterator[Row]]] = {
    "norms": _norms,
    "attention": _attention,
    "geometry": _geometry,
    "field": _field,
}
