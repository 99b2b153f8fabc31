"""The mistakes of a row by image: which image was given which name, surest first."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from promptbench.core.answers import Answers


class Mistake(NamedTuple):
    """An image that was given another name than its own: in which seeds, and at its surest
    (`predicted` and `confidence` are of that seed)."""

    key: str
    label: int
    predicted: int
    confidence: float
    seeds: tuple[int, ...]


def surest(read: Sequence[tuple[int, list[str], Answers]], most: int | None) -> tuple[Mistake, ...]:
    """List every image that was wrong in some seed, surest first; then those wrong in more seeds.

    Args:
        read: seeds, each with the keys of its images, (images,), and the answers to them.
        most: of one seed at least so many are listed, the surest; None: all are.
    """
    found: dict[str, Mistake] = {}
    for seed, keys, answers in read:
        for own in _of_seed(seed, keys, answers, most if len(read) == 1 else None):
            known = found.get(own.key)
            if known is not None:
                sure = known if known.confidence >= own.confidence else own
                own = sure._replace(seeds=(*known.seeds, seed))
            found[own.key] = own
    order = sorted((-m.confidence, -len(m.seeds), m.key) for m in found.values())
    return tuple(found[key] for *_, key in order)


def _of_seed(
    seed: int, keys: Sequence[str], answers: Answers, most: int | None
) -> Iterator[Mistake]:
    assert answers.confidence is not None and answers.label is not None
    assert answers.predicted is not None
    wrong = np.flatnonzero(answers.label != answers.predicted)
    if most is not None and len(wrong) > most:
        sure = answers.confidence[wrong]
        wrong = wrong[sure >= np.partition(sure, -most)[-most]]
    columns = (answers.label, answers.predicted, answers.confidence)
    values = (column[wrong].tolist() for column in columns)
    named = (keys[place] for place in wrong.tolist())
    return map(Mistake._make, zip(named, *values, itertools.repeat((seed,)), strict=False))
