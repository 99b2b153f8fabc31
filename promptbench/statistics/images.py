"""The sampling error of test images, which is not in an interval over seeds.

Of one number the Wilson interval of its share of correct images; of what follows from several test
sets, their Wilson intervals propagated. Of a difference of two methods, a paired bootstrap over
images: both see the same ones, so that much of the error cancels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from promptbench.statistics.estimates import ENOUGH_SEEDS, Ends
from promptbench.statistics.paired import NOISE, Floats

Z = 1.959963984540054  # the normal distribution's 97.5 % point
DRAWS = 2000
Key = TypeVar("Key", bound=Hashable)


def wilson(share: float, images: int, whole: float = 100.0) -> Ends:
    """The 95% Wilson score interval of a share of `images` images, where all of them are `whole`.

    Of a mean over seeds it is an upper limit: each image counts once, since all seeds see the same
    (Wilson 1927; Brown, Cai and DasGupta 2001).
    """
    p, shrink = share / whole, Z * Z / images
    middle = p + shrink / 2
    half = Z * math.sqrt(p * (1 - p) / images + shrink / (4 * images))
    low, high = (whole * (middle + sign * half) / (1 + shrink) for sign in (-1, 1))
    return max(0.0, low), min(whole, high)


def propagated(
    value: Callable[[Mapping[Key, float]], float | None],
    scores: Mapping[Key, float],
    ends: Mapping[Key, Ends],
) -> Ends | None:
    """The interval of a value that follows from scores of separate test sets.

    Each score is moved to the ends of its interval, the others kept; the squares of what that
    changes add up (for sums, MOVER: Zou and Donner 2008). None where there is no value.
    """
    center = value(scores)
    if center is None:
        return None
    down = up = 0.0
    for key, both in ends.items():
        moved = [value({**scores, key: end}) for end in both]
        shifts = [shifted - center for shifted in moved if shifted is not None]
        down += min(0.0, *shifts) ** 2
        up += max(0.0, *shifts) ** 2
    return center - math.sqrt(down), center + math.sqrt(up)


@dataclass(frozen=True)
class Outcomes:
    """Which test images of one target two methods get right.

    Args:
        labels: (images,) integers.
        correct: (2, seeds, images) booleans: methods A and B, the same seeds and images.
    """

    labels: NDArray[np.int64]
    correct: NDArray[np.bool_]


def resampled(
    outcomes: Outcomes, rng: np.random.Generator, draws: int = DRAWS, whole: float = 100.0
) -> Floats:
    """The share of images that are right, times `whole`, (draws, 2, seeds), on images drawn again
    within their classes.

    One draw is the same images for both methods and all seeds. Images of a class that all of these
    treat alike are interchangeable, so that only the count of each pattern is drawn.
    """
    _, seeds, images = outcomes.correct.shape
    flat = outcomes.correct.reshape(2 * seeds, images)
    sums = np.zeros((draws, 2 * seeds))
    order = np.argsort(outcomes.labels, kind="stable")
    edges = np.flatnonzero(np.diff(outcomes.labels[order])) + 1
    for of_class in np.split(order, edges):
        patterns, counts = np.unique(flat[:, of_class], axis=1, return_counts=True)
        drawn = rng.multinomial(len(of_class), counts / len(of_class), size=draws)
        sums += drawn @ patterns.T.astype(float)
    found: Floats = (whole * sums / images).reshape(draws, 2, seeds)
    return found


def redrawn(
    labels: NDArray[np.int64], rng: np.random.Generator, draws: int = DRAWS
) -> Iterator[NDArray[np.int64]]:
    """Places of images, (images,) a draw, drawn again within their classes; `labels`: (images,)."""
    order = np.argsort(labels, kind="stable")
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    first, many = np.repeat(starts, sizes), np.repeat(sizes, sizes)
    for _ in range(draws):
        yield order[first + (rng.random(len(order)) * many).astype(np.int64)]


def crossed_interval(
    resampled_differences: Floats, seed_differences: Sequence[float], bounds: Ends = (-100.0, 100.0)
) -> Ends:
    """The 95% interval of a difference over images and seeds at once.

    Args:
        resampled_differences: (draws,) the difference of seed means on images drawn again.
        seed_differences: one per seed, on the images as they are. With fewer than three, or where
            they do not vary, the interval holds the images only.
        bounds: what a difference can be; the interval does not pass it.

    Every draw of images meets every value of the seeds' part: Student's t, times the standard
    error. Seeds resampled as images are would give a far too narrow part: three of them have ten
    resamples, whose variance is two thirds of what it should be.
    """
    draws = np.asarray(resampled_differences, dtype=float)
    n = len(seed_differences)
    error = float(np.std(seed_differences, ddof=1)) / math.sqrt(n) if n >= ENOUGH_SEEDS else 0.0
    ends = (
        _quantile(draws, error, n - 1, share) if error > NOISE else float(np.quantile(draws, share))
        for share in (0.025, 0.975)
    )
    low, high = (min(bounds[1], max(bounds[0], end)) for end in ends)
    return low, high


def _quantile(draws: Floats, error: float, freedom: int, share: float) -> float:
    """The quantile of a draw plus `error` times Student's t: all draws, and the whole of t."""
    from scipy.optimize import brentq
    from scipy.special import stdtr, stdtrit

    outer = float(stdtrit(freedom, 1 - min(share, 1 - share) / 2))
    reach = float(np.ptp(draws)) + error * outer
    middle = float(np.median(draws))

    def excess(x: float) -> float:
        return float(stdtr(freedom, (x - draws) / error).mean()) - share

    return float(brentq(excess, middle - reach, middle + reach))
