"""Which names images were given in place of their own: pairs of labels, and how often."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from promptbench.core.answers import Integers


class Pairs(NamedTuple):
    """Images of one label that were given another, each (pairs,): `label`, `predicted` and how
    many, `images`. Most frequent first, equal ones in the order of their labels."""

    label: Integers
    predicted: Integers
    images: Integers


def confused(label: Integers, predicted: Integers, classes: int) -> Pairs:
    """Count the confusions among labels of images, both (images,), of so many classes."""
    wrong = label != predicted
    return _counted(label[wrong] * classes + predicted[wrong], None, classes)


def joined(parts: list[Pairs], classes: int) -> Pairs:
    """Add the confusions of several parts over the same classes."""
    pair = np.concatenate([p.label * classes + p.predicted for p in parts])
    return _counted(pair, np.concatenate([p.images for p in parts]), classes)


def _counted(pair: Integers, weights: Integers | None, classes: int) -> Pairs:
    pairs, place = np.unique(pair, return_inverse=True)
    counts = np.zeros(len(pairs), dtype=np.int64)
    np.add.at(counts, place, 1 if weights is None else weights)
    order = np.argsort(-counts, kind="stable")
    return Pairs(pairs[order] // classes, pairs[order] % classes, counts[order])
