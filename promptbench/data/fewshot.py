"""Few-shot sampling as the CoOp code does it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Hashable, Sequence
from typing import TypeVar

L = TypeVar("L", bound=Hashable)


def sample(labels: Sequence[L], shots: int, seed: int) -> list[int]:
    """Indices of the few-shot training subset, in sampled order.

    Every call restarts from the seed, so subsets of different `shots` need not be nested.
    """
    return draw(labels, shots, random.Random(seed))


def draw(labels: Sequence[L], shots: int, stream: random.Random) -> list[int]:
    """Indices of `shots` samples of each class, drawn from a stream of Python's generator.

    `labels` are those of a split in its canonical order. Classes are visited in the order of their
    first appearance; a class with fewer than `shots` gives all, in order, without a draw. The CoOp
    code draws its few-shot validation set (min(shots, 4) of each class) from the same stream after
    the training set.
    """
    groups: dict[L, list[int]] = {}
    for index, label in enumerate(labels):
        groups.setdefault(label, []).append(index)
    chosen: list[int] = []
    for group in groups.values():
        chosen += stream.sample(group, shots) if len(group) >= shots else group
    return chosen


def fingerprint(names: Sequence[str]) -> str:
    """SHA-256 over the names of a subset, one a line: what cards and the field's lists hold."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()
