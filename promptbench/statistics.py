"""Means and intervals over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

ENOUGH_SEEDS = 3  # below, a table marks the number


@dataclass(frozen=True)
class Estimate:
    """A mean over n seeds; `half_width` of its 95% t interval is None for a single seed."""

    mean: float
    half_width: float | None
    n: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval's ends, if there is one."""
        if self.half_width is None:
            return None
        return self.mean - self.half_width, self.mean + self.half_width


def estimate(center: float, samples: Sequence[float]) -> Estimate:
    """`center` with the 95% t interval of the mean of `samples` (sample standard deviation)."""
    n = len(samples)
    if n < 2:
        return Estimate(center, None, n)
    from scipy.stats import t

    error = statistics.stdev(samples) / math.sqrt(n)
    return Estimate(center, float(t.ppf(0.975, n - 1)) * error, n)


@dataclass(frozen=True)
class PairedTest:
    """A two-sided paired test on n differences; without a p-value, `why` says the reason."""

    p: float | None
    n: int
    why: str = ""


def t_test(differences: Sequence[float]) -> PairedTest:
    """The paired t-test: is the mean difference zero? Needs two differences that vary."""
    n = len(differences)
    if n < 2:
        return PairedTest(None, n, "a t-test needs at least 2 seeds")
    if max(differences) == min(differences):
        return PairedTest(
            None, n, "the differences of all seeds are equal, so that no t-test is defined"
        )
    from scipy.stats import ttest_1samp

    return PairedTest(float(ttest_1samp(differences, 0.0).pvalue), n)


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> tuple[float | None, float | None]:
    """Spearman's rank correlation of paired values and its two-sided p-value.

    None with fewer than three pairs, or where one side does not vary.
    """
    if len(a) < 3 or len(set(a)) < 2 or len(set(b)) < 2:
        return None, None
    from scipy.stats import spearmanr

    found = spearmanr(a, b)
    return float(found.statistic), float(found.pvalue)


def signed_rank_test(differences: Sequence[float]) -> PairedTest:
    """The Wilcoxon signed-rank test: are differences symmetric about zero? Zeros are left out."""
    others = [difference for difference in differences if difference]
    if len(others) < 2:
        return PairedTest(
            None, len(others), "a signed-rank test needs at least 2 data sets that differ"
        )
    from scipy.stats import wilcoxon

    return PairedTest(float(wilcoxon(others).pvalue), len(others))
