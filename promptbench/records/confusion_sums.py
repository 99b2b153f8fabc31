"""How many images of a label were given which, by record: the whole table, and a few sums of it.

Two tables are at least as far apart as their sums, so that most pairs of records are told apart
without their tables.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from promptbench.records.infos import TargetResult
from promptbench.records.predictions import MOST_CONFUSIONS

SUMS = 64
_LARGEST = 2**31 - 1
Confusions = Counter[tuple[str, int, int]]  # images by target, label, predicted label
Sums = NDArray[np.int32]  # (SUMS,)


def told(targets: Iterable[TargetResult]) -> Confusions | None:
    """The table as a record says it, which its predictions prove; None where it leaves some out."""
    found: Confusions = Counter()
    for target in targets:
        own = of_target(target)
        if own is None:
            return None
        found.update(own)
    return found


def of_target(target: TargetResult) -> Confusions | None:
    """The table of one target; None where the record leaves some confusions out."""
    if target.confusions is None or len(target.total) > MOST_CONFUSIONS:
        return None
    found: Confusions = Counter()
    for label, count in enumerate(target.correct):
        if count:
            found[target.key, label, label] = count
    for pair, count in target.confusions.items():
        label, predicted = map(int, pair.split(":"))
        found[target.key, label, predicted] = count
    return found


def summed(table: Confusions) -> Sums:
    """A table added up to `SUMS` numbers; one that is too large for them is the largest, which
    brings two records nearer to each other at most."""
    found = [0] * SUMS
    for (key, label, predicted), count in table.items():
        found[zlib.crc32(f"{key} {label} {predicted}".encode()) % SUMS] += count
    return np.array([min(each, _LARGEST) for each in found], dtype=np.int32)


def packed(sums: Sums) -> str:
    """Sums as text."""
    return sums.astype("<i4").tobytes().hex()


def unpacked(text: str) -> Sums:
    """Sums from their text."""
    found: Sums = np.frombuffer(bytes.fromhex(text), dtype="<i4").astype(np.int32)
    return found
