"""Which test images two methods get right, from their predictions, and what these tell of a
difference: its interval over images and seeds."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from promptbench.core.answers import LABELS, Answers
from promptbench.core.metric import Metric
from promptbench.core.protocol import Column, ScoreKey
from promptbench.records import Record, TargetResult
from promptbench.records.parts import Folders, Part, file_of, parts_of, value_of
from promptbench.records.verify import read_table
from promptbench.statistics import Ends, Outcomes, crossed_interval, redrawn, resampled

_FEWER_DRAWS = 1000  # of metrics that are computed again on every draw
Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Paired:
    """The answers of A and B on the same images in the same order: for each side those of the seeds
    that both have."""

    seeds: tuple[int, ...]
    answers: tuple[tuple[Answers, ...], tuple[Answers, ...]]

    @property
    def labels(self) -> Integers:
        """The labels of the images, (images,)."""
        label = self.answers[0][0].label
        assert label is not None, "answers of predictions have labels"
        return label

    def scores(self, metric: Metric, key: ScoreKey) -> Floats:
        """The metric, (draws, 2, seeds), on images drawn again within their classes; nan where it
        is not defined."""
        if metric.binomial:
            right = [[own.predicted == self.labels for own in side] for side in self.answers]
            outcomes = Outcomes(self.labels, np.array(right))
            return resampled(outcomes, _generator(key), whole=metric.whole)
        found = [
            [[_value(metric, key, own.taken(place)) for own in side] for side in self.answers]
            for place in redrawn(self.labels, _generator(key), _FEWER_DRAWS)
        ]
        return np.array(found, dtype=np.float64)


def _value(metric: Metric, key: ScoreKey, answers: Answers) -> float:
    value = value_of(metric, answers, key[2])
    return math.nan if value is None else value


def paired(
    a: Sequence[Record],
    b: Sequence[Record],
    names: Sequence[str],
    places: Folders,
    metric: Metric,
) -> dict[ScoreKey, Paired | str]:
    """The outcomes behind each score that both sides have, or the reason why there are none.

    Raises:
        UserError: predictions that are damaged.
    """
    sides = [_parts(records, metric) for records in (a, b)]
    found: dict[ScoreKey, Paired | str] = {}
    for key in dict.fromkeys(key for key, _ in sides[0]):
        seeds = tuple(sorted({s for k, s in sides[0] if k == key and (k, s) in sides[1]}))
        parts = [[side[key, seed] for seed in seeds] for side in sides]
        if seeds and all(part.defined for side in parts for part in side):
            found[key] = _outcomes(seeds, parts, names, places, metric)
    return found


def _parts(records: Sequence[Record], metric: Metric) -> dict[tuple[ScoreKey, int], Part]:
    return {
        ((r.leg.source.key, r.source.shots, part.key), r.seed): part
        for r in records
        for part in parts_of(r, metric)
    }


def _outcomes(
    seeds: tuple[int, ...],
    parts: Sequence[Sequence[Part]],
    names: Sequence[str],
    places: Folders,
    metric: Metric,
) -> Paired | str:
    needed = metric.arrays or LABELS
    order: dict[str, int] | None = None  # the label of each image, in the order of the first
    sides: tuple[list[Answers], list[Answers]] = ([], [])
    for name, of_side, found in zip(names, parts, sides, strict=True):
        for seed, part in zip(seeds, of_side, strict=True):
            for target in part.targets:
                if file_of(target) not in places:
                    return f"predictions of {name} are missing: {target.key}, seed {seed}"
            keys, answers = _read(part.targets, places)
            if not answers.holds(needed):
                return f"predictions of {name} hold labels only: {part.key}, seed {seed}"
            assert answers.label is not None, "answers of predictions have labels"
            own = dict(zip(keys, answers.label.tolist(), strict=True))
            order = own if order is None else order
            if own != order:
                return "A and B have not scored the same images"
            place = {key: number for number, key in enumerate(keys)}
            found.append(answers.taken([place[key] for key in order], needed))
    return Paired(seeds, (tuple(sides[0]), tuple(sides[1])))


def _read(targets: Sequence[TargetResult], places: Folders) -> tuple[list[str], Answers]:
    """The images of several targets, in order, and what was answered to them."""
    tables = [read_table(target, places[file_of(target)]) for target in targets]
    answers = [
        table.answers(len(target.total), target.learned)
        for table, target in zip(tables, targets, strict=True)
    ]
    return [key for table in tables for key in table.keys], Answers.joined(answers)


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
