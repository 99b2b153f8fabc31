"""Confusions of class names: who is taken for whom, how often, and a matrix that can be read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np

from promptbench.core.answers import Answers, Integers
from promptbench.core.confusions import Pairs, confused, joined
from promptbench.records import TargetResult


@dataclass(frozen=True)
class Confusions:
    """Counts per class of what was right, and of what images were taken for.

    Labels count among the names that competed. `pairs` holds all confusions if `whole`; else only
    those that a record keeps without its predictions, and nothing is known of the other mistakes.

    Args:
        right: (classes,) how many images of each class were classified correctly.
        total: (classes,) how many images each class has.
    """

    right: Integers
    total: Integers
    pairs: Pairs
    whole: bool = True

    @classmethod
    def of_answers(cls, answers: Answers) -> Confusions:
        """Count the confusions of answers that hold labels."""
        assert answers.label is not None and answers.predicted is not None
        pairs = confused(answers.label, answers.predicted, len(answers.total))
        return cls(answers.right, answers.total, pairs)

    @classmethod
    def of_target(cls, target: TargetResult) -> Confusions:
        """Return what a record itself says of a target; schema 1 names no confusions."""
        right, total = (
            np.array(counts, dtype=np.int64) for counts in (target.correct, target.total)
        )
        found = target.confusions or {}
        labels = [tuple(map(int, pair.split(":"))) for pair in found]
        rows = [(*pair, count) for pair, count in zip(labels, found.values(), strict=True)]
        label, predicted, count = np.array(rows, dtype=np.int64).reshape(-1, 3).T
        pairs = joined([Pairs(label, predicted, count)], len(total))
        return cls(right, total, pairs, int(count.sum()) == int((total - right).sum()))

    @staticmethod
    def joined(parts: Sequence[Confusions]) -> Confusions:
        """Add counts over the same names."""
        if len(parts) == 1:
            return parts[0]
        return Confusions(
            np.sum([part.right for part in parts], axis=0),
            np.sum([part.total for part in parts], axis=0),
            joined([part.pairs for part in parts], len(parts[0].total)),
            all(part.whole for part in parts),
        )

    @property
    def images(self) -> int:
        """How many images there are."""
        return int(self.total.sum())

    @property
    def wrong(self) -> int:
        """How many of them were given another name than their own."""
        return self.images - int(self.right.sum())

    @property
    def mean_class_share(self) -> float:
        """The mean over classes of the share of their images that is right, from 0 to 1."""
        have = self.total > 0
        return float((self.right[have] / self.total[have]).mean())

    def crossed(self, learned: Sequence[int]) -> int:
        """How many mistakes took an image of a learned class for one that was not, or vice versa,
        of those in `pairs`; `learned` are places of names."""
        known = np.zeros(len(self.total), dtype=np.bool_)
        known[list(learned)] = True
        return int(self.pairs.images[known[self.pairs.label] != known[self.pairs.predicted]].sum())

    @cached_property
    def worst(self) -> list[int]:
        """The labels that have images: lowest share of right ones first; of equal shares the one
        with more mistakes, then the lower label."""
        labels = np.flatnonzero(self.total)
        share = self.right[labels] / self.total[labels]
        wrong = (self.total - self.right)[labels]
        return [int(label) for label in labels[np.lexsort((labels, -wrong, share))]]

    @cached_property
    def _taken_for(self) -> dict[int, list[tuple[int, int]]]:
        found: dict[int, list[tuple[int, int]]] = {}
        for label, predicted, count in zip(*(p.tolist() for p in self.pairs), strict=True):
            found.setdefault(label, []).append((predicted, count))
        return found

    def taken_for(self, label: int) -> list[tuple[int, int]]:
        """What images of a label were taken for, and how many: most frequent first."""
        return self._taken_for.get(label, [])

    def block(self, most: int) -> Block:
        """Return the matrix of all names that occur, or of the most confused `most` of them.

        These are taken from the most frequent confusions, both names of each, as long as there is
        room; then from the classes with the lowest shares.
        """
        pairs = self.pairs
        labels = {*np.flatnonzero(self.total).tolist(), *pairs.predicted.tolist()}
        occurring = len(labels)
        if occurring > most:
            labels = _first(zip(pairs.label.tolist(), pairs.predicted.tolist(), strict=True), most)
            labels |= set(
                [label for label in self.worst if label not in labels][: most - len(labels)]
            )
        columns = sorted(labels)
        place = {label: number for number, label in enumerate(columns)}
        rows = [label for label in columns if self.total[label]]
        counts = np.zeros((len(columns), len(columns)), dtype=np.int64)
        np.fill_diagonal(counts, self.right[columns])
        for label, predicted, count in zip(*(p.tolist() for p in pairs), strict=True):
            if label in place and predicted in place:
                counts[place[label], place[predicted]] = count
        counts = counts[[place[label] for label in rows]]
        total = self.total[rows]
        return Block(
            tuple(rows), tuple(columns), counts, total, total - counts.sum(axis=1), occurring
        )


def _first(pairs: Iterable[tuple[int, int]], most: int) -> set[int]:
    found: set[int] = set()
    for pair in pairs:
        if len(found.union(pair)) > most:
            break
        found |= set(pair)
    return found


@dataclass(frozen=True)
class Block:
    """A part of a confusion matrix: images of the classes `rows`, given the names `columns`.

    Args:
        rows, columns: labels, ascending; classes without images have a column only.
        counts: (rows, columns) images.
        total: (rows,) images of each class.
        others: (rows,) those that were given names outside of the block, or of which it is not
            known which name they were given.
        occurring: how many names have images or were given to one.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    counts: Integers
    total: Integers
    others: Integers
    occurring: int

    @property
    def cut(self) -> bool:
        """Whether names that occur are left out."""
        return len(self.columns) < self.occurring

    @property
    def largest(self) -> int:
        """The largest number in it."""
        return max(chain(self.counts.ravel().tolist(), self.others.tolist()), default=0)
