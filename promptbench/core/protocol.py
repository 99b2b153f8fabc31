"""What a protocol is: which classes of which datasets are learned from, and what is scored.

A protocol is versioned; records of different versions never share a table. It says nothing about
methods, and the harness passes nothing of it to them but class names and templates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from promptbench.core.class_sets import Labels, Rule, labels_of

# How a target's images differ from those that were learned from.
Shift = Literal["none", "classes", "domain", "dataset"]


@dataclass(frozen=True)
class Source:
    """Few-shot training data: `shots` images of each class of a class set of a dataset.

    `labels` are those of the class set, of another than "all", "base" and "new"; promptbench fills
    them in, from the protocol's `class_sets` or from a record.
    """

    dataset: str
    classes: str
    shots: int
    labels: Labels | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """How a source is called in scores: `dtd/base`."""
        return f"{self.dataset}/{self.classes}"

    @property
    def validation_shots(self) -> int:
        """Validation images of each class, as in the CoOp code: as many as shots, four at most."""
        return min(self.shots, 4)

    def labels_in(self, n_classes: int) -> Sequence[int]:
        """Return the labels that are learned, ascending, of a dataset with so many classes."""
        return labels_of(self.classes, n_classes, self.labels)


@dataclass(frozen=True)
class Target:
    """A scored test set: the images of one class set of a dataset, and whose names compete.

    `names` None: the names of the same class set. Another class set, which holds the first: its
    names (an open label space where it is "all"). Labels are renumbered among the names that
    compete. `labels` and `competing` are the labels of the two sets, as `Source.labels`.
    """

    dataset: str
    classes: str
    shift: Shift
    split: str = "test"
    names: str | None = None
    labels: Labels | None = field(default=None, repr=False)
    competing: Labels | None = field(default=None, repr=False)

    @property
    def scored_over(self) -> str:
        """The class set whose names the images are scored over."""
        return self.names or self.classes

    @property
    def key(self) -> str:
        return target_key(self.dataset, self.classes, self.names)

    @property
    def own_labels(self) -> list[Labels | None]:
        """The labels of the two sets, for ids; empty where both are the same everywhere."""
        both = [self.labels, self.competing]
        return [] if both == [None, None] else both

    def labels_in(self, n_classes: int) -> Sequence[int]:
        """Return the labels whose images are scored, ascending, of a dataset with so many."""
        return labels_of(self.classes, n_classes, self.labels)

    def competing_in(self, n_classes: int) -> Sequence[int]:
        """Return the labels whose names compete, ascending: the order of a method's logits."""
        given = self.labels if self.names is None else self.competing
        return labels_of(self.scored_over, n_classes, given)


def target_key(dataset: str, classes: str, names: str | None) -> str:
    """How a target is called in scores and files: `dtd/new`, or `dtd/new-of-all`."""
    return f"{dataset}/{classes}" + (f"-of-{names}" if names else "")


@dataclass(frozen=True)
class Leg:
    """One training and everything scored with it.

    The validation set of a leg is its source's: `source.validation_shots` images of each of the
    classes that are learned, from the validation split of their dataset and of no other. Selection
    rules are told accuracies on it; a method never learns from it.
    """

    source: Source
    targets: tuple[Target, ...]

    @property
    def class_sets(self) -> dict[str, dict[str, Labels]]:
        """The labels of the protocol's own class sets that it uses, by dataset and name."""
        own = self.source
        used = [(own.dataset, own.classes, own.labels)]
        used += [(t.dataset, t.classes, t.labels) for t in self.targets]
        used += [(t.dataset, t.scored_over, t.competing) for t in self.targets]
        found: dict[str, dict[str, Labels]] = {}
        for dataset, name, labels in used:
            if labels is not None:
                found.setdefault(dataset, {})[name] = labels
        return found


ScoreKey = tuple[str, int, str]  # (source key, shots, target key)
Scores = Mapping[ScoreKey, float]  # the values of one metric
Value = Callable[[Scores], float | None]


@dataclass(frozen=True)
class Column:
    """A column of the result table: how its number follows from scores, None if incomplete.

    `published` is the (dataset, split) under which papers print it; `members` are the columns
    that it sums up: none for a single dataset's column. `defined`: the metric at hand can have a
    value here (see `without_harmonic_means`).
    """

    group: str
    title: str
    value: Value
    shots: int
    published: tuple[str, str] | None = None
    members: tuple[Column, ...] = ()
    defined: bool = True


class Protocol(ABC):
    """Base class of all protocols.

    `selection` names the rule that says which of a training's states is scored
    (`promptbench.core.selection`). `trains_as` names the protocol whose settings (gin scope) it
    trains with, where it only scores other targets with the same training: both then share their
    trainings, if their rules are the same. `split_known` is false where no sample's split is known,
    so that decoupled inference has nothing to go by. `shots_together`: its legs have several
    numbers of shots, and one table shows them all.
    """

    title: ClassVar[str]
    version: ClassVar[int]
    selection: ClassVar[str] = "last"
    trains_as: ClassVar[str | None] = None
    split_known: ClassVar[bool] = True
    shots_together: ClassVar[bool] = False

    def class_sets(self) -> Mapping[str, Rule]:
        """The protocol's own class sets by name, beside `all`, `base` and `new`.

        A rule maps the number of classes to labels in label order, such as `portion(0, 1, of=3)`
        for the first third or `lambda n: range(0, n, 2)` for every other class. A name keeps its
        meaning: another rule is a new `version`.
        """
        return {}

    def shot_counts(self, usual: int) -> tuple[int, ...]:
        """The numbers of shots to train with, where `usual` is the suite's."""
        return (usual,)

    @abstractmethod
    def legs(self, shots: int, only: Sequence[str] | None = None) -> list[Leg]:
        """All legs; `only` names the datasets to keep (or cards to use instead)."""

    @abstractmethod
    def columns(self, legs: Sequence[Leg]) -> list[Column]:
        """The columns of the table over these legs, averages last."""


def score(source: Source, target: Target) -> Value:
    """The value of one target."""
    key = (source.key, source.shots, target.key)
    return lambda scores: scores.get(key)


def mean_of(columns: Sequence[Column]) -> Value:
    """The mean over columns; None as soon as one is missing."""

    def value(scores: Scores) -> float | None:
        values = [column.value(scores) for column in columns]
        known = [v for v in values if v is not None]
        return sum(known) / len(known) if known and len(known) == len(values) else None

    return value


def average_title(shown: Iterable[str], usual: Iterable[str]) -> str:
    """ "Average" over the suite's datasets; over a part of them its number is named."""
    names, whole = set(shown), set(usual)
    return "Average" if names >= whole else f"Average of {len(names)}"


def harmonic_mean(base: Value, new: Value) -> Value:
    """HM = 2 b n / (b + n) of two columns, taken from their means as the papers do.

    None for a metric of which no harmonic mean is defined (see `without_harmonic_means`).
    """

    def value(scores: Scores) -> float | None:
        b, n = base(scores), new(scores)
        if b is None or n is None or isinstance(scores, _WithoutHarmonicMean):
            return None
        return 2 * b * n / (b + n) if b + n else 0.0

    return value


class _WithoutHarmonicMean(dict[ScoreKey, float]):
    """Scores of a metric of which no harmonic mean is defined."""


def without_harmonic_means(columns: Sequence[Column], legs: Sequence[Leg]) -> list[Column]:
    """The columns for a metric of which no harmonic mean is defined: what follows from one is None,
    also where it is one part of a column among others."""
    keys = ((leg.source.key, leg.source.shots, t.key) for leg in legs for t in leg.targets)
    all_there = dict.fromkeys(keys, 1.0)
    made: dict[int, Column] = {}

    def changed(column: Column) -> Column:
        if id(column) not in made:
            value = _without(column.value)
            lost = column.value(all_there) is not None and value(all_there) is None
            members = tuple(map(changed, column.members))
            made[id(column)] = replace(column, value=value, members=members, defined=not lost)
        return made[id(column)]

    return [changed(column) for column in columns]


def _without(value: Value) -> Value:
    return lambda scores: value(_WithoutHarmonicMean(scores))
