"""Distributions of one parameter, as functions from the unit interval to its values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from promptbench.errors import UserError

_DIGITS = 6  # of what is drawn, so that the last bits of a machine's exp play no part


@dataclass(frozen=True)
class Uniform:
    """Every number from `low` to `high` alike, or every whole number."""

    name: ClassVar[str] = "uniform"
    low: float
    high: float
    whole: bool = False

    def value(self, place: float) -> float | int:
        """The value at a place in [0, 1)."""
        if self.whole:
            return min(int(self.low + place * (self.high - self.low + 1)), int(self.high))
        return _rounded(self.low + place * (self.high - self.low), self.low, self.high)

    def place(self, value: Any) -> float:
        """Where a value stands in [0, 1]; of whole numbers, the middle of their part."""
        if self.whole:
            return float((value - self.low + 0.5) / (self.high - self.low + 1))
        return float((value - self.low) / (self.high - self.low))

    def holds(self, value: Any) -> bool:
        """Whether a value is within the bounds."""
        return _is_number(value) and self.low <= value <= self.high


@dataclass(frozen=True)
class LogUniform:
    """Every order of magnitude from `low` to `high` alike; `low` is above 0."""

    name: ClassVar[str] = "log-uniform"
    low: float
    high: float
    whole: bool = False

    def value(self, place: float) -> float | int:
        """The value at a place in [0, 1)."""
        top = self.high + 1 if self.whole else self.high
        found = self.low * (top / self.low) ** place
        if self.whole:
            return min(int(_rounded(found, self.low, top)), int(self.high))
        return _rounded(found, self.low, self.high)

    def place(self, value: Any) -> float:
        """Where a value stands in [0, 1]; of whole numbers, the middle of their part."""
        top = self.high + 1 if self.whole else self.high
        found = math.sqrt(value * (value + 1)) if self.whole else value
        return math.log(found / self.low) / math.log(top / self.low)

    def holds(self, value: Any) -> bool:
        """Whether a value is within the bounds."""
        return _is_number(value) and self.low <= value <= self.high


@dataclass(frozen=True)
class Choice:
    """Each of some values alike."""

    name: ClassVar[str] = "choice"
    values: tuple[Any, ...]

    def value(self, place: float) -> Any:
        """The value at a place in [0, 1)."""
        return self.values[min(int(place * len(self.values)), len(self.values) - 1)]

    def place(self, value: Any) -> float:
        """The middle of a value's part of [0, 1]."""
        return (self.values.index(value) + 0.5) / len(self.values)

    def holds(self, value: Any) -> bool:
        """Whether a value is one of them."""
        return any(value == own and type(value) is type(own) for own in self.values)


Distribution = Uniform | LogUniform | Choice


def _rounded(value: float, low: float, high: float) -> float:
    return min(max(float(f"{value:.{_DIGITS}g}"), float(low)), float(high))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def of_data(data: Mapping[str, Any], drawn: Sequence[Any]) -> Distribution:
    """The distribution that a record names, of which these values were drawn.

    Raises:
        UserError: there is none of this name, or its bounds do not hold the values.
    """
    name: str
    values: Any
    ((name, values),) = data.items() if len(data) == 1 else (("", ()),)
    found: Distribution
    if name == Choice.name:
        found = Choice(tuple(values))
    elif name in (Uniform.name, LogUniform.name) and _are_bounds(values):
        low, high = values
        whole = all(isinstance(value, int) for value in (low, high, *drawn))
        found = (Uniform if name == Uniform.name else LogUniform)(low, high, whole)
    else:
        raise UserError(f"a record names the distribution {name!r}, which there is not")
    if not all(map(found.holds, drawn)):
        raise UserError(f"a record's trials have values outside of their distribution, {name}")
    return found


def _are_bounds(values: Any) -> bool:
    several = isinstance(values, list | tuple) and len(values) == 2
    return several and all(map(_is_number, values)) and 0 <= values[0] < values[1]
