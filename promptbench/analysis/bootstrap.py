"""Intervals over images: how far a run's numbers would be off with other images of the same kind.

They are normal intervals about the number less its bias, as resamples show both. Means of noisy
vectors and directions of few images agree less than the truth does, and those of resamples less
again: percentiles of resamples lie below the number itself and may miss the truth every time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from promptbench.analysis.agreement import BOUNDS, TOP_K, agreements
from promptbench.support.seeding import generator

RESAMPLES = 200
_AXES = 32  # among which the directions of a resample are looked for
_ERRORS = 1.96  # standard errors to each side: 95%


def resamples(n: int, *names: str | int, count: int = RESAMPLES) -> Tensor:
    """How often each of n images is drawn in each resample, [count, n] float64.

    The stream depends only on n and the names: the same images are drawn for every run.
    """
    rng = generator(0, "analysis", "bootstrap", n, *names)
    return torch.from_numpy(rng.multinomial(n, [1 / n] * n, size=count)).double()


def agreement_intervals(
    base: Tensor, new: Tensor, points: Mapping[str, float], k: int = TOP_K
) -> Iterator[tuple[str, float, float]]:
    """(quantity, low, high) of 95% intervals about an agreement's numbers `points`."""
    draws = resamples(len(base), "base"), resamples(len(new), "new")
    for quantity, values in agreements(base, new, *draws, k, _AXES).items():
        yield quantity, *interval(points[quantity], values, BOUNDS[quantity])


def interval(point: float, resampled: Tensor, bounds: tuple[float, float]) -> tuple[float, float]:
    """The 95% interval of a number `point` within `bounds`, from its values in resamples [b].

    Its middle is as far from the point as the point is from the mean of the resamples, on the other
    side. Not defined, (nan, nan), where the point or a resample is not.
    """
    if math.isnan(point) or bool(resampled.isnan().any()):
        return math.nan, math.nan
    middle = 2 * point - float(resampled.mean())
    half = _ERRORS * float(resampled.std())
    lowest, highest = bounds
    low, high = (min(max(end, lowest), highest) for end in (middle - half, middle + half))
    return low, high
