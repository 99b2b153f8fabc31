"""A pass over test images: those that are kept are read, the others decoded, and kept on the way.

Whichever they are, the pixels are the same. A shard of which all images are kept must be that of
its index all the same, so that what a run refuses does not hang on a cache; a served one is not
fetched for it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from threading import Lock
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from promptbench.data.decoded import keys
from promptbench.data.decoded.filling import Filling, Lacking
from promptbench.data.decoded.folder import Folder
from promptbench.data.decoded.parts import Part
from promptbench.data.images import transforms
from promptbench.data.images.pictures import decoded
from promptbench.data.images.transforms import Levels, Normalisation
from promptbench.data.shards.parallel import ahead
from promptbench.data.shards.shards import Entry, Item, ShardSet
from promptbench.storage.integrity import Damaged


class Sample(NamedTuple):
    """An image of a pass: where it lies in its shard; its bytes, unless its pixels are kept."""

    entry: Entry
    item: Item | None


class Made(NamedTuple):
    """A batch: its samples, levels uint8 [n, 3, size, size], and places of those to be kept."""

    samples: Sequence[Sample]
    levels: Levels
    fresh: Sequence[int]


class Decoded:
    """The cache of decoded images, in a folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    @classmethod
    def here(cls) -> Decoded:
        """The one that the environment names.

        Raises:
            UserError: its bound is not a number.
        """
        return cls(Folder())

    def opened(self, data: ShardSet, target: Normalisation, entries: Sequence[Entry]) -> Pass:
        """A pass over images in shard order, to be used as a context."""
        return Pass(self._folder, data, target, entries)


class Pass:
    """A pass over test images of a dataset, in shard order.

    From the beginning to the end of its block it holds all parts that it reads, so that none of
    them goes for what it writes itself.
    """

    def __init__(
        self, folder: Folder, data: ShardSet, target: Normalisation, entries: Sequence[Entry]
    ) -> None:
        self._folder, self._data, self._target = folder, data, target
        self._entries = entries
        self._shape = (3, target.size, target.size)
        self._kept: dict[Entry, tuple[Part, int]] = {}
        self._bad: set[Part] = set()
        self._lock = Lock()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack as opening:
            lacking = self._look(opening) if self._folder.is_on else {}
            with suppress(OSError):  # the bound may be less than it was; whoever writes says why
                if self._folder.is_on:
                    self._folder.has_room()
            self._filling = Filling(self._folder, lacking, self._shape)
            opening.callback(self._filling.close)
            self._stack = opening.pop_all()  # it is over when the pass is
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def batches(self, size: int, workers: int) -> Generator[tuple[list[Entry], Tensor], None, None]:
        """Images, `size` at a time, as levels uint8 [n, 3, size, size]; `workers` threads ahead.

        Raises:
            UserError: an image that cannot be decoded.
            RunError: a shard that is missing, damaged or not the one of the index.
        """
        with closing(ahead(self._made, self._chunks(size), workers)) as made:
            for samples, levels, fresh in made:
                for place in fresh:
                    self._filling.add(samples[place].entry, levels[place])
                yield [sample.entry for sample in samples], torch.from_numpy(levels)

    def _look(self, opening: ExitStack) -> dict[str, Lacking]:
        """Open the parts of the shards; what they lack."""
        wanted: dict[str, list[Entry]] = {}
        for entry in self._entries:
            wanted.setdefault(entry.shard, []).append(entry)
        listed, found = self._folder.listed(), {}
        for shard, entries in wanted.items():
            facts = keys.facts_of(self._data.sha256_of(shard), self._target)
            digest = keys.digest_of(facts)
            for path in listed[digest]:
                part = self._folder.opened(path, facts, self._shape)
                if part is not None:
                    self._take(opening.enter_context(part), entries)
            count = sum(entry not in self._kept for entry in entries)
            if not count:
                self._data.vouch(shard)
            parts = len(self._folder.listed()[digest]) if count else 0
            found[shard] = Lacking(count, digest, facts, parts)
        return found

    def _take(self, part: Part, entries: Sequence[Entry]) -> None:
        for entry in entries:
            row = part.rows.get((entry.offset, entry.size))
            if row is not None:
                self._kept[entry] = part, row

    def _chunks(self, size: int) -> Iterator[list[Sample]]:
        """The samples in batches; encoded images are read of those that are not kept."""
        missing = [entry for entry in self._entries if entry not in self._kept]
        with closing(self._data.read_in_order(missing)) as items:
            for first in range(0, len(self._entries), size):
                yield [
                    Sample(entry, None if entry in self._kept else next(items))
                    for entry in self._entries[first : first + size]
                ]

    def _made(self, samples: Sequence[Sample]) -> Made:
        levels = np.empty((len(samples), *self._shape), np.uint8)
        fresh = []
        for place, (entry, item) in enumerate(samples):
            if item is None and self._read(entry, levels[place]):
                continue
            if item is None:  # damaged: only this image is read and decoded again
                (item,) = self._data.items([entry])
            else:
                fresh.append(place)
            levels[place] = transforms.for_testing(decoded(item), self._target)
        return Made(samples, levels, fresh)

    def _read(self, entry: Entry, levels: Levels) -> bool:
        """Fill in the levels of an image that is kept; whether they are what was kept."""
        part, row = self._kept[entry]
        try:
            part.read_into(row, levels)
        except (OSError, Damaged) as error:
            self._complain(part, error)
            return False
        return True

    def _complain(self, part: Part, error: Exception) -> None:
        """Say once of a part that an image of it cannot be used; its others are still read."""
        with self._lock:
            if part in self._bad:
                return
            self._bad.add(part)
        self._folder.leave(part.path, error)
