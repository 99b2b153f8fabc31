"""The values of a metric on records: from their counts, or from the predictions beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path

from promptbench import records as store
from promptbench.core.metric import DEFAULT, Answers, Metric
from promptbench.core.pooling import pools
from promptbench.core.protocol import ScoreKey
from promptbench.core.registry import METRICS
from promptbench.errors import UserError, one_line
from promptbench.records import Record, TargetResult
from promptbench.records.verify import predictions_path, read_answers
from promptbench.statistics import NOISE
from promptbench.support.prose import counted
from promptbench.support.safe_text import printable

File = tuple[str, str]  # hash and name of a predictions file
Folders = Mapping[File, Path]  # where predictions lie


def load(name: str = DEFAULT) -> Metric:
    """Make a metric by its name.

    Raises:
        UserError: as `made`, or one that says of itself what cannot be.
    """
    metric = made(name)
    mistake = metric.mistake()
    if mistake is not None:
        raise UserError(f"the metric {name!r} is not well described: {mistake}")
    return metric


def made(name: str) -> Metric:
    """Make a metric by its name, whatever it says of itself.

    Raises:
        UserError: unknown name, or a plugin that cannot be imported or made.
    """
    plugin = METRICS.load(name)
    try:
        metric: Metric = plugin.cls()
    except Exception as error:  # a plugin may raise anything
        raise UserError(f"the metric {name!r} cannot be made: {one_line(error)}") from error
    metric.name = plugin.name
    return metric


def load_all(names: Iterable[str] | None) -> list[Metric]:
    """Make several metrics, each once; without names the default one.

    Raises:
        UserError: as `load`, before any of them is used.
    """
    return [load(name) for name in dict.fromkeys(names or (DEFAULT,))]


def registered() -> list[Metric]:
    """Make all metrics that are known here, the default one first."""
    return load_all([DEFAULT, *METRICS.names()])


def file_of(target: TargetResult) -> File:
    """How the predictions of a target are known."""
    return target.predictions_sha256, target.predictions


def folders_of(found: Iterable[tuple[Record, Path]]) -> dict[File, Path]:
    """Find the predictions of records in their folders, of those that are there."""
    return {
        file_of(target): folder
        for record, folder in found
        for target in record.targets
        if predictions_path(target, folder).is_file()
    }


def folders(places: Sequence[Path]) -> dict[File, Path]:
    """Find the predictions of the records under `places`, of those that are there.

    A record that cannot be read has none here: whoever makes a table of it names it.
    """
    return folders_of(
        (record, path.parent) for path in store.find(places) for record in _readable(path)
    )


def _readable(path: Path) -> list[Record]:
    try:
        return [store.read(path)]
    except UserError:
        return []


def scorers(metrics: Sequence[Metric], places: Sequence[Path]) -> list[Scorer]:
    """Each metric with the predictions under `places`, looked for if one of them needs any."""
    needed = any(metric.needs != "counts" for metric in metrics)
    found = folders(places) if needed else {}
    return [Scorer(metric, found) for metric in metrics]


def value_of(metric: Metric, answers: Answers, where: str) -> float | None:
    """Compute a metric, which must be a finite number or None; `where` names the target.

    Raises:
        UserError: it fails, or is something else.
    """
    try:
        value = metric.value(answers)
    except Exception as error:  # a plugin may raise anything
        raise UserError(
            f"the metric {metric.name!r} fails on {where}: {one_line(error)}"
        ) from error
    if value is None:
        return None
    low, high = metric.bounds
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if number and low - NOISE <= value <= high + NOISE:
        return float(value)
    raise UserError(
        f"the metric {metric.name!r} is {value!r} on {where}; it must be a finite number within "
        f"its bounds {metric.bounds}, or None where it is not defined (see promptbench check)"
    )


def of_counts(metric: Metric, target: TargetResult) -> dict[str, float]:
    """The metric of a target's counts under the target's key; empty where it has none."""
    if metric.needs != "counts" or metric.pooled:
        return {}
    value = value_of(metric, Answers.of_counts(target.correct, target.total), target.key)
    return {} if value is None else {target.key: value}


def per_target(record: Record, metric: Metric | None = None) -> dict[str, float]:
    """The values that follow from a record's counts, by target; of the default metric, or one."""
    own = metric or load()
    return {key: value for t in record.targets for key, value in of_counts(own, t).items()}


def per_class(correct: int, total: int, metric: Metric) -> float | None:
    """The metric of the images of one class only."""
    return value_of(metric, Answers.of_counts([correct], [total]), "one class")


@dataclass(frozen=True)
class Part:
    """What a metric has one value of: a key in scores, and the targets behind it. `defined`:
    it can have one, given which names compete there."""

    key: str
    targets: tuple[TargetResult, ...]
    defined: bool = True

    @property
    def labels_only(self) -> bool:
        """Whether predictions of one of the targets hold no probabilities."""
        return any(target.labels_only for target in self.targets)


def parts_of(record: Record, metric: Metric) -> list[Part]:
    """What a metric has values of: a record's targets, or its open label spaces.

    A metric of these, or of the mass on learned names, is not defined for targets in which no other
    names compete with the learned ones (which schema 1 does not say).
    """
    by_key = {target.key: target for target in record.targets}
    if metric.pooled:
        found = {p.key: tuple(by_key[t.key] for t in p.targets) for p in pools(record.leg)}
        inside = {target.key for targets in found.values() for target in targets}
        rest = [Part(key, (t,), False) for key, t in by_key.items() if key not in inside]
    else:
        found, rest = {key: (target,) for key, target in by_key.items()}, []
    of_mass = metric.needs == "mass"
    return rest + [
        Part(key, own, not of_mass or all(t.labels_only or t.learned is not None for t in own))
        for key, own in found.items()
    ]


REASONS = ("missing", "labels_only", "undefined")


@dataclass(frozen=True)
class Scored:
    """The values of a metric on the parts of a record; keys without one, and why."""

    values: dict[ScoreKey, float]
    missing: tuple[str, ...] = ()  # their predictions are not at hand
    labels_only: tuple[str, ...] = ()  # they are of schema 1
    undefined: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scorer:
    """A metric with the places of predictions; reads a file of predictions once."""

    metric: Metric
    folders: Folders = field(default_factory=dict)
    _known: dict[tuple[tuple[File, int], ...], float | None] = field(
        default_factory=dict, repr=False
    )

    def score(self, record: Record) -> Scored:
        """The metric of each target of a record, or of each open label space.

        Raises:
            UserError: predictions that are damaged, or a metric that fails.
        """
        values: dict[ScoreKey, float] = {}
        without: dict[str, list[str]] = {reason: [] for reason in REASONS}
        source = record.leg.source
        for part in parts_of(record, self.metric):
            why = self._lack(part)
            value = self._value(part) if why is None else None
            if value is None:
                without[why or "undefined"].append(part.key)
            else:
                values[source.key, source.shots, part.key] = value
        return Scored(values, **{name: tuple(keys) for name, keys in without.items()})

    def _lack(self, part: Part) -> str | None:
        """Why a part has no value, as far as it can be said without reading predictions."""
        if not part.defined:
            return "undefined"
        if self.metric.needs in ("probabilities", "mass") and part.labels_only:
            return "labels_only"
        if self.metric.needs == "counts" or all(file_of(t) in self.folders for t in part.targets):
            return None
        return "missing"

    def _value(self, part: Part) -> float | None:
        if self.metric.needs == "counts":
            counts = [Answers.of_counts(t.correct, t.total) for t in part.targets]
            return value_of(self.metric, Answers.joined(counts), part.key)
        known = tuple((file_of(t), len(t.total)) for t in part.targets)
        if known not in self._known:
            answers = [read_answers(t, self.folders[file_of(t)]) for t in part.targets]
            self._known[known] = value_of(self.metric, Answers.joined(answers), part.key)
        return self._known[known]

    def remarks(self, records: Sequence[Record]) -> list[str]:
        """What is to be said of scores that records have no value of: one line for each reason."""
        scored = [self.score(record) for record in records]
        short = self.metric.short
        reasons = (
            ("missing", f"{short} needs predictions, which are not beside"),
            (
                "labels_only",
                f"{short} needs probabilities; records of schema 1 are accuracy only, as those of",
            ),
            ("undefined", f"{short} is not defined for"),
        )
        found = []
        for name, reason in reasons:
            where = [
                f"{r.method.name} on {key}, seed {r.seed}"
                for r, own in zip(records, scored, strict=True)
                for key in getattr(own, name)
            ]
            if where:
                more = ", ..." if len(where) > 1 else ""
                targets = counted(len(where), "target")
                found.append(printable(f"—: {reason} {targets}: {where[0]}{more}"))
        return found
