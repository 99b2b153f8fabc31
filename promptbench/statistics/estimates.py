"""Means with their intervals over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

ENOUGH_SEEDS = 3  # below, a table marks the number and gives no interval


Ends = tuple[float, float]  # low, high
ANY: Ends = (-math.inf, math.inf)


@dataclass(frozen=True)
class Estimate:
    """A mean over n seeds, and how far it may be off.

    Args:
        half_width: of the 95% t interval; None where there is none (see `estimate`).
        bounds: what the quantity can be, which no interval passes.
        span: the lower and the higher value of only two seeds.
        fixed: every seed gives this number, since nothing that it depends on is drawn.
        by_seed: (seed, value) pairs, for what is paired by seed.
        images: the ends of the 95% interval over test images (see `images`), if they are known.
    """

    mean: float
    half_width: float | None
    n: int
    bounds: Ends = ANY
    span: Ends | None = None
    fixed: bool = False
    by_seed: tuple[tuple[int, float], ...] = ()
    images: Ends | None = None

    @property
    def interval(self) -> Ends | None:
        """The ends of the interval within the bounds, if there is one; of a fixed number, itself
        twice."""
        if self.fixed:
            return self.mean, self.mean
        if self.half_width is None:
            return None
        low, high = self.bounds
        return max(low, self.mean - self.half_width), min(high, self.mean + self.half_width)

    @property
    def is_cut(self) -> bool:
        """Whether the interval ends at a bound, so that it is not symmetric about the mean."""
        half = self.half_width or 0.0
        low, high = self.bounds
        return self.mean - half < low or self.mean + half > high

    @property
    def spread(self) -> Ends | None:
        """What is shown beside the mean: the interval's ends, or the values of two seeds."""
        return self.span if self.half_width is None else self.interval

    @property
    def bars(self) -> Ends:
        """The lengths of a plot's error bar below and above the mean; nan where there is none."""
        if self.spread is None:
            return math.nan, math.nan
        low, high = self.spread
        return max(0.0, self.mean - low), max(0.0, high - self.mean)


def estimate(
    center: float, samples: Sequence[float], bounds: Ends = ANY, drawn: bool = True
) -> Estimate:
    """`center` with what the `samples`, one per seed, say of it.

    From three on, that is the 95% t interval of their mean (sample standard deviation); of two, for
    which that would be 12.7 standard errors to each side, their range. Without anything `drawn`,
    equal samples are one fixed number.
    """
    n = len(samples)
    if n > 1 and not drawn and len(set(samples)) == 1:
        return Estimate(center, None, n, bounds, fixed=True)
    if n < ENOUGH_SEEDS:
        span = (min(samples), max(samples)) if n > 1 else None
        return Estimate(center, None, n, bounds, span)
    from scipy.special import stdtrit  # scipy.stats.t.ppf is it, and takes a second to import

    error = statistics.stdev(samples) / math.sqrt(n)
    return Estimate(center, float(stdtrit(n - 1, 0.975)) * error, n, bounds)
