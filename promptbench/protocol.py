"""What a protocol is: which classes of which data sets are learnt from, and what is scored.

A protocol is versioned; records of different versions never share a table. It says nothing about
methods, and the harness passes nothing of it to them but class names and templates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from promptbench.method import Shift

Half = Literal["all", "base", "new"]


@dataclass(frozen=True)
class Source:
    """Few-shot training data: `shots` images of each class of a half of a data set."""

    dataset: str
    classes: Half
    shots: int


@dataclass(frozen=True)
class Target:
    """A scored test set: the images and the names of one half of a data set's classes."""

    dataset: str
    classes: Half
    shift: Shift
    split: str = "test"

    @property
    def key(self) -> str:
        return f"{self.dataset}/{self.classes}"


@dataclass(frozen=True)
class Leg:
    """One training and everything scored with it."""

    source: Source
    targets: tuple[Target, ...]


ScoreKey = tuple[str, str]  # (source data set, target key)
Scores = Mapping[ScoreKey, float]  # accuracy in percent
Value = Callable[[Scores], float | None]


@dataclass(frozen=True)
class Column:
    """A column of the result table: how its number follows from scores, None if incomplete."""

    group: str
    title: str
    value: Value
    published: tuple[str, str] | None = None  # (data set, split) under which papers print it


class Protocol(ABC):
    """Base class of all protocols. Selection rule of every protocol: the last epoch's model."""

    title: ClassVar[str]
    version: ClassVar[int]
    selection: ClassVar[str] = "last epoch"

    @abstractmethod
    def legs(self, shots: int, only: Sequence[str] | None = None) -> list[Leg]:
        """All legs; `only` names the data sets to keep (or cards to use instead)."""

    @abstractmethod
    def columns(self, legs: Sequence[Leg]) -> list[Column]:
        """The columns of the table over these legs, averages last."""


def score(key: ScoreKey) -> Value:
    """The accuracy of one target."""
    return lambda scores: scores.get(key)


def mean_of(columns: Sequence[Column]) -> Value:
    """The mean over columns; None as soon as one is missing."""

    def value(scores: Scores) -> float | None:
        values = [column.value(scores) for column in columns]
        known = [v for v in values if v is not None]
        return sum(known) / len(known) if known and len(known) == len(values) else None

    return value


def harmonic_mean(base: Value, new: Value) -> Value:
    """HM = 2 b n / (b + n) of two columns, taken from their means as the papers do."""

    def value(scores: Scores) -> float | None:
        b, n = base(scores), new(scores)
        if b is None or n is None:
            return None
        return 2 * b * n / (b + n) if b + n else 0.0

    return value
