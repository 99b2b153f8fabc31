"""Means and intervals over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A mean over n seeds; `half_width` of its 95% t interval is None for a single seed."""

    mean: float
    half_width: float | None
    n: int


def estimate(center: float, samples: Sequence[float]) -> Estimate:
    """`center` with the 95% t interval of the mean of `samples` (sample standard deviation)."""
    n = len(samples)
    if n < 2:
        return Estimate(center, None, n)
    from scipy.stats import t

    error = statistics.stdev(samples) / math.sqrt(n)
    return Estimate(center, float(t.ppf(0.975, n - 1)) * error, n)
