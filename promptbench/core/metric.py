"""What a metric is: one number for what a method answered on a target's test images.

A metric says what its number is called, its unit, in which direction it is better, and how numbers
of several targets are put together. Tables, comparisons, the leaderboard, plots and trackers take
all of that from here; none of them knows a metric by name.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from promptbench.core.answers import LABELS, OPEN, PROBABILITIES, Answers

__all__ = ["Answers", "DEFAULT", "Metric", "NEEDS", "Needs"]

DEFAULT = "accuracy"  # what is shown unless another metric is asked for, and what papers print

Needs = Literal["counts", "predictions", "probabilities", "mass"]
NEEDS: Mapping[Needs, str] = MappingProxyType(
    {
        "counts": "how many images of each class were right, which every record holds",
        "predictions": "the label given to each image, from the predictions beside the record",
        "probabilities": "what predictions hold of probabilities (records of schema 1 lack it)",
        "mass": "also the probability on learned names, where other names compete with them",
    }
)
_ARRAYS: dict[str, tuple[str, ...]] = {  # what must be known of each image
    "counts": (),
    "predictions": LABELS,
    "probabilities": (*LABELS, *PROBABILITIES),
    "mass": (*LABELS, *PROBABILITIES, *OPEN),
}
_ALLOWED: dict[str, Sequence[object]] = {
    "unit": ("%", ""),
    "better": ("higher", "lower"),
    "needs": tuple(_ARRAYS),
    "decimals": range(10),
    "harmonic": (True, False),
    "binomial": (True, False),
    "pooled": (True, False),
}


class Metric(ABC):
    """Base class of all metrics.

    `title` begins a heading ("Accuracy"), `short` stands within a sentence ("accuracy"), `plural`
    is what notes call several values. `unit` "%" means that values are out of 100. `better` is the
    direction, `bounds` what values can be, `perfect` the value of predictions that are all right
    and certain, if there is one. `needs` says what it reads beside the counts per class: nothing
    ("counts"), the labels of each image ("predictions"), what follows from the method's
    probabilities ("probabilities"; records of schema 1 lack it), or the probability mass on the
    names that were learned ("mass"; there where other names compete with them). `harmonic`: a
    harmonic mean of the values on base and on new classes has a meaning. `binomial`: the value is
    the share of all test images that are classified correctly, so that its sampling error is known.
    `pooled`: it is one number of all targets of a training that share one open label space, images
    of learned and of other classes together, and has a column for each such space. The mean over
    datasets is always the arithmetic one, each dataset counting once.
    """

    title: ClassVar[str]
    short: ClassVar[str]
    plural: ClassVar[str] = ""
    unit: ClassVar[Literal["%", ""]] = ""
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    decimals: ClassVar[int] = 2
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    perfect: ClassVar[float | None] = None
    needs: ClassVar[Needs] = "counts"
    harmonic: ClassVar[bool] = False
    binomial: ClassVar[bool] = False
    pooled: ClassVar[bool] = False

    name: str = ""  # that of its module, given when it is loaded

    @abstractmethod
    def value(self, answers: Answers) -> float | None:
        """Return the metric of a target's answers; None where it is not defined."""

    @property
    def arrays(self) -> tuple[str, ...]:
        """The arrays of `Answers`, of one value per image, that the metric needs."""
        return _ARRAYS[self.needs]

    def __eq__(self, other: object) -> bool:
        """Metrics have no state: those of one class and name are the same."""
        return isinstance(other, Metric) and (type(self), self.name) == (type(other), other.name)

    def __hash__(self) -> int:
        return hash((type(self), self.name))

    @property
    def higher(self) -> bool:
        """Whether a higher value is the better one."""
        return self.better == "higher"

    @property
    def in_unit(self) -> str:
        """The unit as a name takes it: " in %", or nothing."""
        return f" in {self.unit}" if self.unit else ""

    @property
    def label(self) -> str:
        """The name with its unit, as axes and headings show it."""
        return f"{self.short}{self.in_unit}"

    @property
    def heading(self) -> str:
        """The label, and the direction where it is not the usual one."""
        return self.label if self.higher else f"{self.label}, lower is better"

    @property
    def values(self) -> str:
        """What notes call several values."""
        return self.plural or f"values of {self.short}"

    @property
    def whole(self) -> float:
        """What a share of one is in the metric's unit."""
        return 100.0 if self.unit == "%" else 1.0

    def mistake(self) -> str | None:
        """Return what is wrong with what the metric says of itself; None if nothing is."""
        for name in ("title", "short"):
            text = getattr(self, name, None)
            if not isinstance(text, str) or not text.strip():
                return f"{name} is {text!r}, not a text"
        for name, allowed in _ALLOWED.items():
            value = getattr(self, name)
            if value not in allowed:
                return f"{name} is {value!r}; it is one of {', '.join(map(repr, allowed))}"
        if not _are_ends(self.bounds):
            return f"bounds {self.bounds!r} are not the lower and the higher end"
        if self.harmonic and self.bounds[0] < 0:
            return f"harmonic, but values may be negative: bounds {self.bounds}"
        if self.pooled and (self.harmonic or self.binomial):
            return "pooled, and of base and new together there is no harmonic or binomial value"
        return None

    def text(self, value: float, sign: str = "") -> str:
        """A value with its decimals; `sign` "+" for differences."""
        return f"{value:{sign}.{self.decimals}f}"

    def best(self, values: Sequence[float]) -> float | None:
        """The best of some values; None without any."""
        return (max if self.higher else min)(values, default=None)


def _are_ends(bounds: Any) -> bool:
    """Whether bounds are two numbers, the lower one first."""
    try:
        low, high = bounds
        return bool(low < high)
    except (TypeError, ValueError):  # a plugin may say anything
        return False
