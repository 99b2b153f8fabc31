"""How many images of a label were given which, by record: the whole table, and a few sums of it.

Two tables are at least as far apart as their sums, so that most pairs of records are told apart
without their tables.
"""

from __future__ import annotations

import functools
import zlib
from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from promptbench.records.confusion_claims import labels_of
from promptbench.records.infos import TargetResult
from promptbench.records.labels import MOST_CONFUSIONS

SUMS = 64
_LARGEST = 2**31 - 1
Confusions = Counter[tuple[str, int, int]]  # images by target, label, predicted label
Sums = NDArray[np.int32]  # (SUMS,)


def of_target(target: TargetResult) -> Confusions | None:
    """The table of a target as its record says it, which its predictions prove; None where it
    leaves some out."""
    if target.confusions is None or not _says_all(target):
        return None
    found: Confusions = Counter()
    key = target.key
    for label, count in enumerate(target.correct):
        if count:
            found[key, label, label] = count
    for pair, count in target.confusions.items():
        found[(key, *labels_of(pair))] = count
    return found


def summed(table: Confusions) -> Sums:
    """A table added up to `SUMS` numbers; one that is too large for them is the largest, which
    brings two records nearer to each other at most."""
    found = [0] * SUMS
    for (key, label, predicted), count in table.items():
        found[_place(key, f"{label}:{predicted}")] += count
    return _held(found)


def sums_of(targets: Iterable[TargetResult]) -> Sums | None:
    """The sums of the table as a record says it, of which no table is made; None where it leaves
    some confusions out."""
    found = [0] * SUMS
    for target in targets:
        if not _says_all(target):
            return None
        key = target.key
        for pair, count in (target.confusions or {}).items():
            found[_place(key, pair)] += count
        for label, count in enumerate(target.correct):
            found[_place(key, f"{label}:{label}")] += count
    return _held(found)


def _says_all(target: TargetResult) -> bool:
    return target.confusions is not None and len(target.total) <= MOST_CONFUSIONS


@functools.lru_cache(maxsize=2**16)  # the same few stand in all records of a dataset
def _place(key: str, pair: str) -> int:
    return zlib.crc32(f"{key} {pair}".encode()) % SUMS


def _held(sums: list[int]) -> Sums:
    return np.array([min(each, _LARGEST) for each in sums], dtype=np.int32)


def packed(sums: Sums) -> str:
    """Sums as text."""
    return sums.astype("<i4").tobytes().hex()


def unpacked(text: str) -> Sums:
    """Sums from their text."""
    found: Sums = np.frombuffer(bytes.fromhex(text), dtype="<i4").astype(np.int32)
    return found
