"""Which names images were given in place of their own: pairs of labels, and how often."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from promptbench.core.answers import Integers

_FEW = 64  # classes, of whose pairs each has a place


class Pairs(NamedTuple):
    """Images of one label that were given another, each (pairs,): `label`, `predicted` and how
    many, `images`. Most frequent first, equal ones in the order of their labels."""

    label: Integers
    predicted: Integers
    images: Integers


def confused(label: Integers, predicted: Integers, classes: int) -> Pairs:
    """Count the confusions among labels of images, both (images,), of so many classes."""
    wrong = label != predicted
    pair = label[wrong] * classes + predicted[wrong]
    if classes > _FEW:
        return _sorted(*np.unique(pair, return_counts=True), classes)
    images = np.bincount(pair, minlength=classes**2)  # without sorting
    pairs = np.flatnonzero(images)
    return _sorted(pairs, images[pairs], classes)


def joined(parts: list[Pairs], classes: int) -> Pairs:
    """Add the confusions of several parts over the same classes."""
    pair = np.concatenate([p.label * classes + p.predicted for p in parts])
    pairs, place = np.unique(pair, return_inverse=True)
    counts = np.zeros(len(pairs), dtype=np.int64)
    np.add.at(counts, place, np.concatenate([p.images for p in parts]))
    return _sorted(pairs, counts, classes)


def _sorted(pairs: Integers, counts: Integers, classes: int) -> Pairs:
    order = np.argsort(-counts, kind="stable")
    return Pairs(pairs[order] // classes, pairs[order] % classes, counts[order])
