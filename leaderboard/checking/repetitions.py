"""Records that repeat an accepted one: the cell was computed again, with sums rounded otherwise.

Another processor ends in other last digits of losses, parameters and probabilities, so that files
have other bytes. Images, classes and what was predicted for each image are the same.
"""

from __future__ import annotations

import numpy as np

from promptbench.errors import UserError
from promptbench.leaderboard.checking import outlined
from promptbench.leaderboard.checking.cells import Entry
from promptbench.records import Record, TargetResult
from promptbench.records.predictions import DIGITS, Table
from promptbench.records.verify import read_table

REASON = "repeats an accepted record: the same counts, other last digits, as of another processor"
_CLOSE = 0.01  # the last two of the four digits that predictions have; relative above 1


def repeats(accepted: Entry, other: Entry) -> bool:
    """Whether a record of the same cell as an accepted one differs from it in last digits only.

    Counts, images and predicted classes are compared one by one, and so are few-shot subsets and
    validation images; losses and probabilities may differ a little. Learned parameters are known by
    their hash, which says nothing of how much they differ. Without predictions nothing is found.
    """
    try:
        own, stands = (outlined.whole(*entry) for entry in (other, accepted))
        return _counts_are_equal(own, stands) and all(
            _are_close(read_table(mine, other[0].parent), read_table(theirs, accepted[0].parent))
            for mine, theirs in zip(_in_order(own), _in_order(stands), strict=True)
        )
    except UserError:  # of a file that cannot be compared nothing is claimed
        return False


def _in_order(record: Record) -> list[TargetResult]:
    return sorted(record.targets, key=lambda target: target.key)


def _counts_are_equal(a: Record, b: Record) -> bool:
    own, other = a.numbers(predictions=False), b.numbers(predictions=False)
    losses = [own.pop("losses"), other.pop("losses")]
    for numbers in (own, other):
        numbers.pop("parameters")
    return own == other and _losses_are_close(*losses)


def _losses_are_close(a: list[dict[str, float]], b: list[dict[str, float]]) -> bool:
    if [terms.keys() for terms in a] != [terms.keys() for terms in b]:
        return False
    return all(
        np.isclose(terms[name], others[name], rtol=_CLOSE, atol=_CLOSE)
        for terms, others in zip(a, b, strict=True)
        for name in terms
    )


def _are_close(a: Table, b: Table) -> bool:
    """Whether two tables hold the same images, labels and predicted classes, in one order, and what
    both of them hold of probabilities is nearly the same."""
    if list(a.keys) != list(b.keys):
        return False
    exact = all(np.array_equal(a.columns[name], b.columns[name]) for name in ("label", "predicted"))
    return exact and all(
        np.allclose(a.columns[name], b.columns[name], rtol=_CLOSE, atol=_CLOSE)
        for name in DIGITS
        if name in a.columns and name in b.columns
    )
