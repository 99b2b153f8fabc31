"""The labels of test images beside those that a method gave them: what records hold of them."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from promptbench.core.answers import Integers
from promptbench.core.confusions import confused

MOST_CONFUSIONS = 200  # kept in a record whose classes are more than as many


class Labels(NamedTuple):
    """The labels of images and those that they were given, both (images,)."""

    label: Integers
    predicted: Integers

    def counts(self, classes: int) -> tuple[list[int], list[int]]:
        """How many images of each label were classified correctly, and how many there are."""
        right = self.label[self.label == self.predicted]
        correct, total = (np.bincount(own, minlength=classes) for own in (right, self.label))
        return correct.tolist(), total.tolist()

    def confusions(self, classes: int) -> dict[str, int]:
        """How often images of one label were given another, as "label:predicted", most frequent
        first: all of them, of more than `MOST_CONFUSIONS` classes as many."""
        found = confused(self.label, self.predicted, classes)
        most = MOST_CONFUSIONS if classes > MOST_CONFUSIONS else len(found.images)
        label, predicted, images = (column[:most].tolist() for column in found)
        return dict(zip(map(_pair, label, predicted), images, strict=True))


@functools.lru_cache(maxsize=2**16)  # the same few pairs stand in all records of a dataset
def _pair(label: int, predicted: int) -> str:
    return f"{label}:{predicted}"
