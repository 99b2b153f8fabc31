"""Batches: few-shot sets from memory, test sets streamed from shards; both in a fixed order.

Workers are threads that decode ahead (Pillow releases the interpreter lock); the order and the
composition of batches do not depend on their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from promptbench.core.protocol import Source, Target
from promptbench.data import fewshot
from promptbench.data.decoded import Decoded
from promptbench.data.images.augmentation import Augment
from promptbench.data.images.kept import Kept, under_test_transform
from promptbench.data.images.levels import normalised, stacked
from promptbench.data.images.transforms import Levels, Normalisation
from promptbench.data.shards.parallel import ahead
from promptbench.data.shards.shards import Entry, Item, ShardSet
from promptbench.errors import UserError
from promptbench.support.seeding import generator

EVAL_BATCH = 100

A = TypeVar("A")


@dataclass(frozen=True)
class Batch:
    """Images [batch, 3, size, size], labels int64 [batch], sample keys.

    The images are levels, uint8, with the target that they are normalised for; without one they are
    normalised, float32. A training on several views of each image has images
    [batch, views, 3, size, size].
    """

    pixels: Tensor
    labels: Tensor
    keys: tuple[str, ...]
    target: Normalisation | None = None

    @property
    def images(self) -> Tensor:
        """Normalised images float32, made again for each who asks."""
        if self.target is None:
            return self.pixels
        return normalised(self.pixels, self.target)


@dataclass(frozen=True)
class FewShotSet:
    """A few-shot training set in memory (encoded images), with labels renumbered from 0."""

    items: tuple[Item, ...]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.items)

    def n_batches(self, batch_size: int) -> int:
        """Batches per epoch: the last, incomplete one is dropped unless it is the only one."""
        return max(len(self) // batch_size, 1)

    def epoch(
        self,
        number: int,
        *,
        first: int = 0,
        end: int | None = None,
        seed: int,
        batch_size: int,
        augment: Augment,
        workers: int,
    ) -> Iterator[Batch]:
        """One epoch of shuffled, augmented batches, from batch `first` on, up to `end` if given.

        Each batch is a function of only `seed`, `number` and its place.
        """
        order = generator(seed, "order", number).permutation(len(self)).tolist()
        chunks = [
            order[i * batch_size : (i + 1) * batch_size]
            for i in range(first, self.n_batches(batch_size) if end is None else end)
        ]

        def batch(chunk: Sequence[int]) -> Batch:
            items = [self.items[index] for index in chunk]
            rngs = [generator(seed, "augment", number, index) for index in chunk]
            return _batch(augment(items, rngs), items, augment.target)

        yield from ahead(batch, chunks, workers)

    def augmented(
        self, number: int, *, seed: int, augment: Augment, workers: int
    ) -> Iterator[Batch]:
        """All images in order, augmented: a function of only `seed` and the pass's `number`."""

        def batch(places: Sequence[int]) -> Batch:
            items = [self.items[place] for place in places]
            rngs = [generator(seed, "pass", number, place) for place in places]
            return _batch(augment(items, rngs), items, augment.target)

        yield from ahead(batch, _chunks(range(len(self)), EVAL_BATCH), workers)

    def plain(
        self, target: Normalisation, workers: int, levels: Kept[Levels] | None = None
    ) -> Iterator[Batch]:
        """All images once, in order, under the test transform; `levels` keeps them for the next
        time."""
        made = levels or under_test_transform(target, room=0)

        def batch(items: Sequence[Item]) -> Batch:
            return _batch(stacked([made(item) for item in items]), items, target)

        yield from ahead(batch, _chunks(self.items, EVAL_BATCH), workers)


def few_shot_set(data: ShardSet, source: Source, seed: int) -> FewShotSet:
    """Sample a few-shot set: first over all classes, then the class set's of them, renumbered.

    Raises:
        UserError: the dataset has no training split.
    """
    if "train" not in data.index.splits:
        raise UserError(f"dataset {data.card.name!r} has no training split; it cannot be a source")
    entries = data.manifest("train")
    chosen = fewshot.sample([entry.label for entry in entries], source.shots, seed)
    labels = source.labels_in(len(data.card.classes))
    places = _places(labels)
    wanted = [entries[index] for index in chosen if entries[index].label in places]
    items = [
        Item(item.key, item.image, places[item.label], item.shard) for item in data.items(wanted)
    ]
    if not items:
        raise UserError(
            f"dataset {data.card.name!r} has no training images of its {source.classes} classes"
        )
    return FewShotSet(tuple(items), tuple(data.card.classes[label] for label in labels))


def test_batches(
    data: ShardSet,
    target: Target,
    normalisation: Normalisation,
    workers: int,
    limit: int | None,
    size: int = EVAL_BATCH,
) -> Iterator[Batch]:
    """A target's images in shard order, `size` a batch, labels renumbered among the names scored.

    What is decoded is kept in the cache of decoded images, and taken from there by later passes.

    Raises:
        UserError: the target has no images, or shows classes that are not scored.
        RunError: files of the dataset that are missing, damaged or not those of its index.
    """
    places = _places(target.competing_in(len(data.card.classes)))
    entries = _of_target(data, target)[:limit]
    opened = Decoded.here().opened(data, normalisation, entries)
    with opened as images, closing(images.batches(size, workers)) as batches:
        for chunk, levels in batches:
            labels = torch.tensor([places[entry.label] for entry in chunk])
            yield Batch(levels, labels, tuple(entry.key for entry in chunk), normalisation)


def n_test_samples(data: ShardSet, target: Target, limit: int | None) -> int:
    """How many images a target has, or `limit` if that is fewer.

    Raises:
        UserError: it has none.
    """
    if target.split not in data.index.splits:
        raise UserError(f"the shards of {data.card.name!r} in {data.folder} have no {target.split}")
    labels = target.labels_in(len(data.card.classes))
    per_class = data.index.splits[target.split].per_class
    count = sum(per_class[label] for label in labels)
    if not count:
        raise UserError(
            f"dataset {data.card.name!r} has no {target.split} images of its {target.classes} "
            "classes, so that there is nothing to score"
        )
    return min(count, limit) if limit is not None else count


def class_names(data: ShardSet, target: Target) -> tuple[str, ...]:
    """The class names that a target's images are scored over, in label order."""
    return tuple(data.card.classes[i] for i in target.competing_in(len(data.card.classes)))


def _places(labels: Sequence[int]) -> dict[int, int]:
    """The number that each label of a class set has among its own."""
    return {label: place for place, label in enumerate(labels)}


def _of_target(data: ShardSet, target: Target) -> list[Entry]:
    """A target's samples in shard order."""
    n_classes = len(data.card.classes)
    labels, places = set(target.labels_in(n_classes)), _places(target.competing_in(n_classes))
    if not labels <= places.keys():
        raise UserError(
            f"{target.key}: not all of its images show {target.scored_over} classes, over whose "
            "names they are scored"
        )
    n_test_samples(data, target, None)  # refuses a target without images
    return data.in_order(entry for entry in data.manifest(target.split) if entry.label in labels)


def _batch(pixels: Tensor, items: Sequence[Item], target: Normalisation) -> Batch:
    labels = torch.tensor([item.label for item in items])
    return Batch(pixels, labels, tuple(item.key for item in items), target)


def _chunks(items: Iterable[A], size: int) -> Iterator[list[A]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
