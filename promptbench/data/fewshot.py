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
    first appearance; a class with fewer than `shots` gives all, in order, without a draw.
    """
    groups: dict[L, list[int]] = {}
    for index, label in enumerate(labels):
        groups.setdefault(label, []).append(index)
    chosen: list[int] = []
    for group in groups.values():
        chosen += stream.sample(group, shots) if len(group) >= shots else group
    return chosen


def sample_held_out(
    labels: Sequence[L], held_out: Sequence[L], shots: int, held_out_shots: int, seed: int
) -> list[int]:
    """Indices of the few-shot validation subset among `held_out`, in sampled order.

    It is drawn as the CoOp code draws it: from the stream of the training subset of `labels`, after
    that; so both are needed.

    Args:
        labels, held_out: those of the training and of the validation split, in canonical order.
        shots, held_out_shots: images of each class of the two subsets.
    """
    stream = random.Random(seed)
    draw(labels, shots, stream)
    return draw(held_out, held_out_shots, stream)


def fingerprint(names: Sequence[str]) -> str:
    """SHA-256 over the names of a subset, one a line: what cards and the field's lists hold."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()
