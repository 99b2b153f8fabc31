"""Which test images two methods get right, from their predictions, and what these tell of a
difference: its interval over images and seeds."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from promptbench import records as store
from promptbench.protocol import Column, ScoreKey
from promptbench.records import Record, TargetResult
from promptbench.statistics import Ends, Outcomes, crossed_interval, resampled
from promptbench.verify import predictions_path, read_predictions

Folders = Mapping[tuple[str, str], Path]  # hash and name of a predictions file -> where it lies


def folders(places: Sequence[Path]) -> dict[tuple[str, str], Path]:
    """Where the predictions of the records under `places` lie, of those that are there."""
    return {
        _file(target): path.parent
        for path in store.find(places)
        for target in store.read(path).targets
        if predictions_path(target, path.parent).is_file()
    }


def _file(target: TargetResult) -> tuple[str, str]:
    return target.predictions_sha256, target.predictions


@dataclass(frozen=True)
class Paired:
    """The outcomes of A and B on one target; the seeds that both have, in their order."""

    seeds: tuple[int, ...]
    outcomes: Outcomes


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
    correct = []
    labels: dict[str, int] | None = None
    for name, of_side in zip(names, targets, strict=True):
        for seed, target in zip(seeds, of_side, strict=True):
            folder = places.get(_file(target))
            if folder is None:
                return f"predictions of {name} are missing: {target.key}, seed {seed}"
            rows = read_predictions(target, folder)
            own = {row.key: row.label for row in rows}
            labels = own if labels is None else labels
            if own != labels:
                return "A and B have not scored the same images"
            right = {row.key: row.label == row.predicted for row in rows}
            correct.append([right[key] for key in labels])
    values = np.array(list((labels or {}).values()), dtype=np.int64)
    shape = (2, len(seeds), len(values))
    return Paired(seeds, Outcomes(values, np.array(correct, dtype=np.bool_).reshape(shape)))


class Resampled:
    """Scores of both methods on test images drawn again, drawn once for all columns."""

    def __init__(self, found: Mapping[ScoreKey, Paired | str]) -> None:
        self._found = found
        self._draws = {
            key: resampled(paired.outcomes, _generator(key))
            for key, paired in found.items()
            if not isinstance(paired, str)
        }

    def interval(self, column: Column, by_seed: Mapping[int, float]) -> Ends | str:
        """The interval of a column's difference, given each seed's; or why there is none."""
        a, b = (self._values(column, side, tuple(by_seed)) for side in (0, 1))
        if a is None or b is None:
            return self._reason(column)
        return crossed_interval(a - b, list(by_seed.values()))

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


def _generator(key: ScoreKey) -> np.random.Generator:
    """The random numbers of one target: the same each time, whatever else is drawn, and whichever
    classes of a dataset were learned."""
    source, shots, target = key
    drawn = (source.partition("/")[0], shots, target)
    return np.random.default_rng(zlib.crc32(repr(drawn).encode()))
