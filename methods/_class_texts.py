"""Shared part: frozen features of sentences about classes, one per class: their mean, or one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from promptbench.api import ClassSet, TextTower, UserError, unit

_AT_ONCE = 256  # sentences: of ImageNet there may be fifty thousand


def texts_of(classes: ClassSet, title: str) -> tuple[tuple[str, ...], ...]:
    """Return the sentences about each class.

    Raises:
        UserError: a class list without.
    """
    if not classes.texts:
        raise UserError(f"{title} uses sentences about the classes: add --class-texts FILE")
    return classes.texts


@torch.no_grad()
def encoded(text: TextTower, sentences: Sequence[Sequence[str]]) -> tuple[Tensor, list[list[int]]]:
    """Return the normalised frozen features of all sentences, float32 [n_distinct, embed_dim], and
    by class the row of each of its sentences.

    A sentence that is there twice has its row twice, and is computed once.
    """
    distinct = list(dict.fromkeys(each for own in sentences for each in own))
    place = {sentence: number for number, sentence in enumerate(distinct)}
    parts = [distinct[first : first + _AT_ONCE] for first in range(0, len(distinct), _AT_ONCE)]
    features = torch.cat([unit(text.features(text.tokens(part))) for part in parts])
    return features, [[place[each] for each in own] for own in sentences]


@torch.no_grad()
def mean_features(text: TextTower, sentences: Sequence[Sequence[str]]) -> Tensor:
    """Return the normalised mean of the normalised frozen features of each class's sentences,
    float32 [n_classes, embed_dim]; a sentence that is there twice counts twice."""
    features, rows = encoded(text, sentences)
    return unit(torch.stack([features[own].mean(0) for own in rows]))


class FrozenSentences:
    """The `mean_features` of class lists; those of the last list are remembered.

    Args:
        text: the tower that encodes them.
        title: of the method that uses them.
    """

    def __init__(self, text: TextTower, title: str) -> None:
        self._text, self._title = text, title
        self._known: dict[ClassSet, Tensor] = {}

    def __call__(self, classes: ClassSet) -> Tensor:
        """Return the features [n_classes, embed_dim], normalised, float32.

        Raises:
            UserError: a class list without sentences.
        """
        if classes not in self._known:
            with torch.inference_mode(False):
                found = mean_features(self._text, texts_of(classes, self._title))
            self._known = {classes: found}
        return self._known[classes]


class OneSentence:
    """The frozen features of one sentence about each class; all sentences of the last class list
    are remembered.

    Args:
        text: the tower that encodes them.
        title: of the method that uses them.
    """

    def __init__(self, text: TextTower, title: str) -> None:
        self._text, self._title = text, title
        self._known: dict[ClassSet, _Lists] = {}

    def __call__(self, classes: ClassSet, share: float) -> Tensor:
        """Return the features [n_classes, embed_dim], normalised, float32.

        Args:
            share: how far down each class's list its sentence stands, from 0 to below 1: of equally
                long lists it is the same number for all classes.

        Raises:
            UserError: a class list without sentences.
        """
        if classes not in self._known:
            with torch.inference_mode(False):
                features, rows = encoded(self._text, texts_of(classes, self._title))
                self._known = {classes: _Lists.of(features, rows)}
        return self._known[classes].at(share)


@dataclass(frozen=True)
class _Lists:
    """Features of all sentences [n, embed_dim], class after class, and by class where its list
    begins and how long it is: all where the features are, so that no step sends an index there."""

    features: Tensor
    first: Tensor
    length: Tensor

    @classmethod
    def of(cls, features: Tensor, rows: Sequence[Sequence[int]]) -> _Lists:
        lengths = [len(own) for own in rows]
        first = list(itertools.accumulate(lengths[:-1], initial=0))
        order = torch.tensor([row for own in rows for row in own], device=features.device)
        return cls(
            features.index_select(0, order),
            torch.tensor(first, device=features.device),
            torch.tensor(lengths, dtype=torch.float64, device=features.device),
        )

    def at(self, share: float) -> Tensor:
        return self.features.index_select(0, self.first + (self.length * share).long())
