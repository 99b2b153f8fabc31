"""What a random search of a smaller budget would have found, from the trials of a larger one."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

from promptbench.statistics.estimates import Ends


def expected_best(values: Sequence[float], k: int) -> float:
    """Return the mean of the best of k of these values, drawn without replacement.

    It is the unbiased estimator of the expected best of k trials (Tang et al., arXiv 2004.13705;
    with replacement: Dodge et al., arXiv 1909.03004, Eq. 7):
    sum_i C(i - 1, k - 1) / C(n, k) v_(i) over the ascending values.

    Raises:
        ValueError: k is not from 1 to the number of values.
    """
    ordered, n = sorted(values), len(values)
    _check(k, n)
    return sum(comb(i - 1, k - 1) * v for i, v in enumerate(ordered, 1)) / comb(n, k)


def best_between(values: Sequence[float], k: int, share: float = 0.95) -> Ends:
    """Return the ends between which the best of k of these values lies in `share` of all draws.

    P(best <= v_(i)) = C(i, k) / C(n, k), exactly; the ends are quantiles of it. With k = n there is
    one draw only, and the ends coincide: it says nothing of other trials than these.

    Raises:
        ValueError: as `expected_best`.
    """
    ordered, n = sorted(values), len(values)
    _check(k, n)
    tail = (1 - share) / 2
    below = [comb(i, k) / comb(n, k) for i in range(1, n + 1)]
    low, high = (
        next(v for v, p in zip(ordered, below, strict=True) if p >= wanted - 1e-12)
        for wanted in (tail, 1 - tail)
    )
    return low, high


def _check(k: int, n: int) -> None:
    if not 1 <= k <= n:
        raise ValueError(f"the best of {k} of {n} values")
