"""Few-shot sampling as the CoOp code does it, and the base/new halves."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from math import ceil
from typing import TypeVar

from promptbench.protocol import Half

L = TypeVar("L", bound=Hashable)


def sample(labels: Sequence[L], shots: int, seed: int) -> list[int]:
    """Indices of the few-shot training subset, in sampled order.

    `labels` are those of the training split in its canonical order. Classes are visited in the
    order of their first appearance, and `shots` of each are drawn from one stream of Python's
    generator seeded with `seed`; a class with fewer gives all, in order, without a draw. Every
    call restarts from the seed, so subsets of different `shots` need not be nested.
    """
    stream = random.Random(seed)
    groups: dict[L, list[int]] = {}
    for index, label in enumerate(labels):
        groups.setdefault(label, []).append(index)
    chosen: list[int] = []
    for group in groups.values():
        chosen += stream.sample(group, shots) if len(group) >= shots else group
    return chosen


def half_of(n_classes: int, half: Half) -> range:
    """The labels of a half: the first ceil(n/2) are base, the rest new."""
    middle = ceil(n_classes / 2)
    return {"all": range(n_classes), "base": range(middle), "new": range(middle, n_classes)}[half]
