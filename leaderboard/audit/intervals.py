"""What a rounded number may stand for, and what then follows from several of them.

A number printed with two decimals stands for any within half a unit of its last decimal, both ends
included, whichever way halves were rounded. A mean and a harmonic mean rise with each of their
terms, so that those of the ends are the ends of what they can be; authors who averaged the rounded
numbers lie within. No tolerance is added: numbers contradict each other where no true values could
have been rounded to all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_NOISE = 1e-9  # of floating point, far below any decimal that is printed


class Interval(NamedTuple):
    """All numbers from `low` to `high`."""

    low: float
    high: float

    def meets(self, other: Interval) -> bool:
        """Whether a number lies in both."""
        return self.low <= other.high + _NOISE and other.low <= self.high + _NOISE

    def below(self, other: Interval) -> float:
        """Return by how much all of it lies below the other; 0.0 where it does not."""
        return max(0.0, other.low - self.high - _NOISE)

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2


def rounded(value: float, unit: float) -> Interval:
    """What is rounded to `value`, in steps of `unit`."""
    return Interval(value - unit / 2, value + unit / 2)


def mean(terms: Sequence[Interval]) -> Interval:
    """The means of numbers within `terms`."""
    lows, highs = zip(*terms, strict=True)
    return Interval(sum(lows) / len(lows), sum(highs) / len(highs))


def harmonic_mean(a: Interval, b: Interval) -> Interval:
    """The harmonic means 2 a b / (a + b) of numbers within two intervals."""
    return Interval(_harmonic(a.low, b.low), _harmonic(a.high, b.high))


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a > 0 and b > 0 else 0.0


def other_term(result: Interval, known: Interval) -> Interval | None:
    """The numbers whose harmonic mean with a `known` one is the `result`: h k / (2 k - h).

    None where there is none: no harmonic mean reaches twice the smaller number.
    """
    if result.high >= 2 * known.low:
        return None
    return Interval(_other(result.low, known.high), _other(result.high, known.low))


def _other(result: float, known: float) -> float:
    return result * known / (2 * known - result)
