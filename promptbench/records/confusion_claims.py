"""What a record says of confusions, held against its counts."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence

from promptbench.records.labels import MOST_CONFUSIONS

_PAIR = re.compile(r"(0|[1-9]\d{0,8}):(0|[1-9]\d{0,8})", re.ASCII)


def problem(
    confusions: Mapping[str, int] | None, correct: Sequence[int], total: Sequence[int]
) -> str | None:
    """Return what is wrong with confusions beside counts per label; None if nothing is.

    They are pairs of different labels, no more of a label than it has wrong images. Of up to
    `MOST_CONFUSIONS` classes, and wherever there are fewer of them than that, all are there.
    """
    if confusions is None:
        return None
    wrong, classes = [0] * len(total), len(total)
    for pair, count in confusions.items():
        label, predicted = labels_of(pair)
        if label == predicted or label >= classes or predicted >= classes:
            return f"the confusion {pair[:40]!r} is not one of two labels, as in 3:9"
        wrong[label] += count
    many = classes > MOST_CONFUSIONS
    if many and len(confusions) > MOST_CONFUSIONS:
        return f"{len(confusions)} confusions; of so many classes there are {MOST_CONFUSIONS}"
    whole = not many or len(confusions) < MOST_CONFUSIONS
    for label, (said, right, images) in enumerate(zip(wrong, correct, total, strict=True)):
        if said > images - right or (whole and said < images - right):
            return (
                f"confusions and counts do not fit: {said} and {images - right} wrong "
                f"images of label {label}"
            )
    return None


@functools.lru_cache(maxsize=2**16)  # the same few pairs stand in all records of a dataset
def labels_of(pair: str) -> tuple[int, int]:
    """The two labels of a pair; (0, 0), which is none, of other text."""
    found = _PAIR.fullmatch(pair)
    return (int(found[1]), int(found[2])) if found else (0, 0)
