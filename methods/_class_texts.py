"""Shared part: one frozen feature per class from several sentences about it."""

from __future__ import annotations

from collections.abc import Sequence

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
def mean_features(text: TextTower, sentences: Sequence[Sequence[str]]) -> Tensor:
    """Return the normalised mean of the normalised frozen features of each class's sentences,
    float32 [n_classes, embed_dim].

    A sentence that is there twice counts twice, and is computed once.
    """
    distinct = list(dict.fromkeys(each for own in sentences for each in own))
    place = {sentence: number for number, sentence in enumerate(distinct)}
    parts = [distinct[first : first + _AT_ONCE] for first in range(0, len(distinct), _AT_ONCE)]
    features = torch.cat([unit(text.features(text.tokens(part))) for part in parts])
    return unit(torch.stack([features[[place[each] for each in own]].mean(0) for own in sentences]))


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
