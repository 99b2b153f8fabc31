"""Rank correlation of paired values."""

from __future__ import annotations

from collections.abc import Sequence


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> tuple[float | None, float | None]:
    """Spearman's rank correlation of paired values and its two-sided p-value.

    None with fewer than three pairs, or where one side does not vary.
    """
    if len(a) < 3 or len(set(a)) < 2 or len(set(b)) < 2:
        return None, None
    from scipy.stats import spearmanr

    found = spearmanr(a, b)
    return float(found.statistic), float(found.pvalue)
