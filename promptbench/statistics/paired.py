"""Paired tests on differences: over seeds the t-test, over datasets the signed-rank test.

Differences of metrics are quotients of counts; computed in floating point, equal ones differ in
their last digits. Whatever lies within `NOISE` is therefore equal, before any test looks at it: a
test set would need 10^11 images for a true difference of that size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

NOISE = 1e-9  # rounding errors of percentage points are some 1e-13
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PairedTest:
    """A two-sided paired test on n differences; without a p-value, `why` says the reason."""

    p: float | None
    n: int
    why: str = ""


def t_test(differences: Sequence[float], center: float | None = None) -> PairedTest:
    """The paired t-test: is the difference zero? Needs two differences that vary.

    Args:
        center: the difference that is shown, where that is not the mean of `differences` (a
            harmonic mean is taken of means); they give its standard error, as in `estimate`.
    """
    n = len(differences)
    if n < 2:
        return PairedTest(None, n, "a t-test needs at least 2 seeds")
    p = float(t_p_values([differences], None if center is None else [center])[0])
    if math.isnan(p):
        return PairedTest(
            None,
            n,
            "the differences of all seeds are equal: no t-test is defined, and ±0.00 is not an "
            "interval",
        )
    return PairedTest(p, n)


def t_p_values(differences: Any, centers: Any = None) -> Floats:
    """Two-sided p-values of paired t-tests, shape (...), of differences (..., seeds).

    nan where a test does not exist: fewer than two differences, or all of them equal. `centers`,
    shape (...), as in `t_test`.
    """
    from scipy.special import stdtr

    d = np.asarray(differences, dtype=float)
    n = d.shape[-1]
    if n < 2:
        return np.full(d.shape[:-1], np.nan)
    center = d.mean(-1) if centers is None else np.asarray(centers, dtype=float)
    equal = d.max(-1) - d.min(-1) <= NOISE
    error = np.where(equal, np.nan, d.std(-1, ddof=1) / math.sqrt(n))
    p: Floats = 2 * stdtr(n - 1, -np.abs(center / error))
    return p


def signed_rank_test(differences: Sequence[float]) -> PairedTest:
    """The Wilcoxon signed-rank test: are differences symmetric about zero? Zeros are left out.

    Always exact, equal differences included (they share the mean of their ranks): the p-value is
    the share of all 2^n ways to put signs that are at least as one-sided, twice the smaller tail.
    """
    others = [difference for difference in differences if abs(difference) > NOISE]
    if len(others) < 2:
        return PairedTest(
            None, len(others), "a signed-rank test needs at least 2 datasets that differ"
        )
    ranks = _doubled_ranks([abs(difference) for difference in others])
    observed = sum(rank for rank, value in zip(ranks, others, strict=True) if value > 0)
    shares = _shares_of_sums(ranks)
    tail = min(shares[: observed + 1].sum(), shares[observed:].sum())
    return PairedTest(min(1.0, 2 * float(tail)), len(others))


def _doubled_ranks(sizes: Sequence[float]) -> list[int]:
    """Twice the rank of each size: whole numbers, though equal sizes share their mean rank."""
    order = sorted(range(len(sizes)), key=sizes.__getitem__)
    found = [0] * len(sizes)
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or sizes[order[end]] - sizes[order[end - 1]] > NOISE:
            for index in order[start:end]:
                found[index] = start + 1 + end
            start = end
    return found


def _shares_of_sums(ranks: Sequence[int]) -> Floats:
    """The share of each sum 0, 1, ... of the ranks with a plus, all signs being equally likely."""
    shares = np.zeros(sum(ranks) + 1)
    shares[0] = 1.0
    for rank in ranks:
        shifted = np.zeros_like(shares)
        shifted[rank:] = shares[:-rank]
        shares = (shares + shifted) / 2
    return shares
