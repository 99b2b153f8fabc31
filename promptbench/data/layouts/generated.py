"""Layout `generated`: images drawn by the demo suite's generator, in parallel, always the same."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from promptbench.data.cards.cards import DataCard
from promptbench.data.layouts.base import ImageSource, Sample
from promptbench.demo import generate
from promptbench.support.progress import Reporter

_CHUNK = 16
_HELD_OUT = 16  # images of each class in a validation split that the card does not list


class GeneratedSource(ImageSource):
    """The samples of a card, label by label; their names are <label>_<index>.

    Every card has a validation split (val): where it lists none, images are drawn when somebody
    asks for them, and are not part of its shards.
    """

    def __init__(self, card: DataCard) -> None:
        self._card = card

    def samples(self, split: str) -> Sequence[Sample]:
        listed = self._card.splits.get(split)
        if listed is None and split != "val":
            return []
        per_class = _HELD_OUT if listed is None else listed // len(self._card.classes)
        return [
            Sample(f"{label:04d}_{index:05d}", label, split)
            for label in range(len(self._card.classes))
            for index in range(per_class)
        ]

    def images(self, samples: Iterable[Sample], workers: int) -> Iterator[bytes]:
        draw = partial(_draw, self._card)
        if sys.platform != "linux" or workers <= 1:
            yield from map(draw, samples)
            return
        # Forked, because the drawing needs only numpy and Pillow and the caller's main module (a
        # notebook, an unguarded script) must not run again.
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            yield from pool.map(draw, samples, chunksize=_CHUNK)


def open_source(card: DataCard, location: str, listener: Reporter) -> ImageSource:
    """The generator's images; they lie nowhere."""
    return GeneratedSource(card)


def _draw(card: DataCard, sample: Sample) -> bytes:
    index = int(sample.name.partition("_")[2])
    options, name = card.source.options, card.classes[sample.label]
    return generate.sample(options, name, sample.stamp, index)
