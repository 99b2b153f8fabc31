"""Which test images two methods get right, from their predictions, and what these tell of a
difference: its interval over images and seeds."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from promptbench.core.metric import Answers, Metric
from promptbench.core.protocol import Column, ScoreKey
from promptbench.records import Record, TargetResult
from promptbench.records.scores import Folders, file_of, value_of
from promptbench.records.verify import read_predictions
from promptbench.statistics import Ends, Outcomes, crossed_interval, redrawn, resampled

_FEWER_DRAWS = 1000  # of metrics that are computed again on every draw
Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Paired:
    """The predictions of A and B on one target: (images,) labels, (2, seeds, images) predicted
    ones of the seeds that both have, in their order, among so many class names."""

    seeds: tuple[int, ...]
    labels: Integers
    predicted: Integers
    classes: int

    def scores(self, metric: Metric, key: ScoreKey) -> Floats:
        """The metric, (draws, 2, seeds), on images drawn again within their classes; nan where it
        is not defined."""
        if metric.binomial:
            outcomes = Outcomes(self.labels, self.predicted == self.labels)
            return resampled(outcomes, _generator(key), whole=metric.whole)
        sides = self.predicted.reshape(-1, len(self.labels))
        found = [
            [self._value(metric, key, place, side) for side in sides]
            for place in redrawn(self.labels, _generator(key), _FEWER_DRAWS)
        ]
        return np.array(found, dtype=np.float64).reshape(-1, *self.predicted.shape[:2])

    def _value(self, metric: Metric, key: ScoreKey, place: Integers, side: Integers) -> float:
        answers = Answers.of_predictions(self.labels[place], side[place], self.classes)
        value = value_of(metric, answers, key[2])
        return math.nan if value is None else value


def paired(
    a: Sequence[Record], b: Sequence[Record], names: Sequence[str], places: Folders
) -> dict[ScoreKey, Paired | str]:
    """The outcomes behind each score that both sides have, or the reason why there are none.

    Raises:
        UserError: predictions that are damaged.
    """
    sides = [_targets(records) for records in (a, b)]
    found: dict[ScoreKey, Paired | str] = {}
    for key in dict.fromkeys(key for key, _ in sides[0]):
        seeds = tuple(sorted({s for k, s in sides[0] if k == key and (k, s) in sides[1]}))
        if seeds:
            targets = [[side[key, seed] for seed in seeds] for side in sides]
            found[key] = _outcomes(seeds, targets, names, places)
    return found


def _targets(records: Sequence[Record]) -> dict[tuple[ScoreKey, int], TargetResult]:
    return {
        ((r.leg.source.key, r.source.shots, target.key), r.seed): target
        for r in records
        for target in r.targets
    }


def _outcomes(
    seeds: tuple[int, ...],
    targets: Sequence[Sequence[TargetResult]],
    names: Sequence[str],
    places: Folders,
) -> Paired | str:
    predicted = []
    labels: dict[str, int] | None = None
    for name, of_side in zip(names, targets, strict=True):
        for seed, target in zip(seeds, of_side, strict=True):
            folder = places.get(file_of(target))
            if folder is None:
                return f"predictions of {name} are missing: {target.key}, seed {seed}"
            rows = read_predictions(target, folder)
            own = {row.key: row.label for row in rows}
            labels = own if labels is None else labels
            if own != labels:
                return "A and B have not scored the same images"
            given = {row.key: row.predicted for row in rows}
            predicted.append([given[key] for key in labels])
    values = np.array(list((labels or {}).values()), dtype=np.int64)
    shape = (2, len(seeds), len(values))
    given_labels = np.array(predicted, dtype=np.int64).reshape(shape)
    return Paired(seeds, values, given_labels, len(targets[0][0].total))


class Resampled:
    """Scores of both methods on test images drawn again, drawn once for all columns."""

    def __init__(self, found: Mapping[ScoreKey, Paired | str], metric: Metric) -> None:
        self._found, self._bounds = found, bounds_of_difference(metric)
        self._draws = {
            key: paired.scores(metric, key)
            for key, paired in found.items()
            if not isinstance(paired, str)
        }

    def interval(self, column: Column, by_seed: Mapping[int, float]) -> Ends | str:
        """The interval of a column's difference, given each seed's; or why there is none."""
        a, b = (self._values(column, side, tuple(by_seed)) for side in (0, 1))
        if a is None or b is None:
            return self._reason(column)
        if not np.isfinite(a - b).all():
            return "the metric is not defined on some of the images drawn again"
        return crossed_interval(a - b, list(by_seed.values()), self._bounds)

    def _reason(self, column: Column) -> str:
        """The first reason among the scores that the column follows from: without these it has no
        value."""
        every = dict.fromkeys(self._found, 0.0)
        for key, why in self._found.items():
            others = {k: score for k, score in every.items() if k != key}
            if isinstance(why, str) and column.value(others) is None:
                return why
        return "not all seeds have the same targets"

    def _values(
        self, column: Column, side: int, seeds: tuple[int, ...]
    ) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
        """The column's value on each draw of images, from mean scores over `seeds`."""
        means: dict[ScoreKey, list[float]] = {}
        for key, draws in self._draws.items():
            paired = self._found[key]
            assert not isinstance(paired, str), "only what was found is drawn"
            if set(seeds) <= set(paired.seeds):
                chosen = [paired.seeds.index(seed) for seed in seeds]
                means[key] = draws[:, side, chosen].mean(-1).tolist()
        values = [
            column.value(dict(zip(means, scores, strict=True)))
            for scores in zip(*means.values(), strict=True)
        ]
        known = [value for value in values if value is not None]
        return np.array(known) if known and len(known) == len(values) else None


def bounds_of_difference(metric: Metric) -> Ends:
    """What a difference of two values of a metric can be."""
    low, high = metric.bounds
    return low - high, high - low


def _generator(key: ScoreKey) -> np.random.Generator:
    """The random numbers of one target: the same each time, whatever else is drawn, and whichever
    classes of a dataset were learned."""
    source, shots, target = key
    drawn = (source.partition("/")[0], shots, target)
    return np.random.default_rng(zlib.crc32(repr(drawn).encode()))
