"""Many datasets: mean ranks of methods, Friedman's test, and the critical difference of Nemenyi.

After Demšar, "Statistical comparisons of classifiers over multiple datasets" (JMLR 7, 2006). Data
sets are what is drawn here, whatever the seeds of their trainings; hence from ten of them on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from promptbench.statistics.paired import NOISE, Floats

ENOUGH_DATASETS = 10
ENOUGH_METHODS = 3


@dataclass(frozen=True)
class MeanRanks:
    """Methods over datasets: the mean rank of each (1 is best), and what distinguishes them.

    `p` is Friedman's (with Iman and Davenport's correction); two methods whose mean ranks differ by
    less than `critical_difference` are not distinguished (Nemenyi, 0.05).
    """

    ranks: tuple[float, ...]
    datasets: int
    p: float
    critical_difference: float

    def groups(self) -> list[tuple[int, ...]]:
        """The largest sets of two methods or more that are not distinguished, best first."""
        order = sorted(range(len(self.ranks)), key=self.ranks.__getitem__)
        found: list[tuple[int, ...]] = []
        for start, first in enumerate(order):
            limit = self.ranks[first] + self.critical_difference
            group = tuple(i for i in order[start:] if self.ranks[i] <= limit)
            if len(group) > 1 and (not found or group[-1] != found[-1][-1]):
                found.append(group)
        return found


def mean_ranks(scores: Any, higher: bool = True) -> MeanRanks:
    """Mean ranks of scores (datasets, methods), of which `higher` or lower ones are better; equal
    scores share a rank.

    Raises:
        ValueError: fewer than ten datasets or three methods.
    """
    from scipy.stats import f, studentized_range

    values = np.asarray(scores, dtype=float)
    n, k = values.shape
    if n < ENOUGH_DATASETS or k < ENOUGH_METHODS:
        raise ValueError(f"{n} datasets and {k} methods are too few")
    ranks = _ranks(values if higher else -values)
    means = ranks.mean(0)
    # Friedman's statistic as a share of its largest value, n (k - 1); ties make the latter smaller.
    between = n * float(((means - (k + 1) / 2) ** 2).sum())
    within = float(((ranks - (k + 1) / 2) ** 2).sum())
    share = between / within if within else 0.0
    statistic = (n - 1) * share / (1 - share) if share < 1 else math.inf
    p = float(f.sf(statistic, k - 1, (k - 1) * (n - 1)))
    q = float(studentized_range.ppf(0.95, k, np.inf)) / math.sqrt(2)
    critical = q * math.sqrt(k * (k + 1) / (6 * n))
    return MeanRanks(tuple(map(float, means)), n, p, critical)


def _ranks(values: Floats) -> Floats:
    """Ranks within each row from 1, the highest first; equal ones (but for rounding) share one."""
    above = values[:, None, :] > values[:, :, None] + NOISE
    below = values[:, None, :] < values[:, :, None] - NOISE
    k = values.shape[1]
    ranks: Floats = (1 + above.sum(-1) + k - below.sum(-1)) / 2
    return ranks
