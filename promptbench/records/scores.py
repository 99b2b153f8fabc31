"""The values of a metric on records: from their counts, or from the predictions beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from promptbench import records as store
from promptbench.core.metric import DEFAULT, Answers, Metric
from promptbench.core.protocol import ScoreKey
from promptbench.core.registry import METRICS
from promptbench.errors import UserError, one_line
from promptbench.records import Record, TargetResult
from promptbench.records.parts import File as File
from promptbench.records.parts import Folders as Folders
from promptbench.records.parts import file_of as file_of
from promptbench.records.parts import parts_of, value_of
from promptbench.records.values import Values
from promptbench.records.verify import are_there
from promptbench.storage.remembered import Remembered
from promptbench.support.prose import counted
from promptbench.support.safe_text import printable

EVERY = "all"  # stands for every metric, where metrics are asked for by name


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
    """Make several metrics, each once; without names the default one, of "all" every one.

    Raises:
        UserError: as `load`, before any of them is used.
    """
    asked = list(names or (DEFAULT,))
    if EVERY in asked:
        asked = [DEFAULT, *METRICS.names(), *(name for name in asked if name != EVERY)]
    return [load(name) for name in dict.fromkeys(asked)]


def registered() -> list[Metric]:
    """Make all metrics that are known here, the default one first."""
    return load_all([EVERY])


def folders_of(found: Iterable[tuple[Record, Path]]) -> dict[File, Path]:
    """Find the predictions of records in their folders, of those that are there."""
    return {
        file_of(target): folder
        for record, folder in found
        for target in record.targets
        if are_there(target, folder)
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


def scorers(
    metrics: Sequence[Metric], find: Callable[[], Folders], memory: Remembered | None = None
) -> list[Scorer]:
    """Each metric with the predictions that `find` finds, if one of them needs any; `memory` as in
    `together`."""
    needed = any(metric.needs != "counts" for metric in metrics)
    return together(metrics, find() if needed else {}, memory)


def together(
    metrics: Sequence[Metric], places: Folders, memory: Remembered | None = None
) -> list[Scorer]:
    """Each metric with the predictions at `places`; all of them read a file once, or not at all if
    `memory` knows the values."""
    values = Values(metrics, places, memory)
    return [Scorer(metric, values=values) for metric in metrics]


def read_predictions(scorers: Sequence[Scorer], record: Record) -> None:
    """Find the values of a record that follow from its predictions, for whoever asks next.

    Raises:
        DamagedPredictions: some that cannot be read, or are not the record's.
        UserError: a metric that fails.
    """
    for scorer in scorers:
        if scorer.metric.needs != "counts":
            scorer.score(record)


def find_values(names: Sequence[str], record: Record, folder: Path, memory: Remembered) -> None:
    """Find the metrics of a record in a folder, as `load_all` takes their names, to be remembered;
    what is wrong with its predictions is left to whoever asks for them."""
    for scorer in together(_made(tuple(names)), folders_of([(record, folder)]), memory):
        with suppress(UserError):
            scorer.score(record)


@lru_cache(maxsize=1)  # a process asks for the same ones of all records
def _made(names: tuple[str, ...]) -> list[Metric]:
    return load_all(names)


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


REASONS = ("missing", "labels_only", "undefined")


@dataclass(frozen=True)
class Scored:
    """The values of a metric on the parts of a record; keys without one, and why."""

    values: dict[ScoreKey, float]
    missing: tuple[str, ...] = ()  # their predictions are not at hand
    labels_only: tuple[str, ...] = ()  # they are of schema 1
    undefined: tuple[str, ...] = ()


class Scorer:
    """A metric with the places of predictions; `values` may be shared with other metrics, so that
    all of them read a file once."""

    def __init__(
        self, metric: Metric, folders: Folders | None = None, values: Values | None = None
    ) -> None:
        self.metric = metric
        self._values = values or Values([metric], folders or {})
        self._scored: dict[int, tuple[Record, Scored]] = {}  # by identity: tables ask several times

    @property
    def folders(self) -> Folders:
        """Where predictions lie."""
        return self._values.folders

    def score(self, record: Record) -> Scored:
        """The metric of each target of a record, or of each open label space.

        Raises:
            DamagedPredictions: some that cannot be read, or are not the record's.
            UserError: a metric that fails.
        """
        if id(record) not in self._scored:
            self._scored[id(record)] = record, self._score(record)
        return self._scored[id(record)][1]

    def _score(self, record: Record) -> Scored:
        values: dict[ScoreKey, float] = {}
        without: dict[str, list[str]] = {reason: [] for reason in REASONS}
        source = record.leg.source
        for part in parts_of(record, self.metric):
            why = self._values.lack(self.metric, part)
            value = self._values.of(self.metric, record, part) if why is None else None
            if value is None:
                without[why or "undefined"].append(part.key)
            else:
                values[source.key, source.shots, part.key] = value
        return Scored(values, **{name: tuple(keys) for name, keys in without.items()})

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


def allowed(
    scorers: Sequence[Scorer], records: Sequence[Record]
) -> tuple[list[Scorer], list[Metric]]:
    """Those scorers that have a value on one of the records; the metrics of the others."""
    found = [s for s in scorers if any(s.score(record).values for record in records)]
    return found, [s.metric for s in scorers if not any(s is other for other in found)]
