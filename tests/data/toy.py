"""A small data set in memory, and what the tests of data share."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from promptbench.data import writing
from promptbench.data.cards import DataCard
from promptbench.data.layouts import Sample, Source
from promptbench.data.shards import ShardSet
from promptbench.tracking import Listener

FACTS: dict[str, Any] = {
    "name": "toy",
    "title": "Toy",
    "suite": "demo",
    "version": 1,
    "template": "a photo of a {}.",
    "description": "",
    "licence": "",
    "citation": "",
    "classes": ["ant", "bee", "cat", "dog", "emu"],
    "splits": {"train": 30, "test": 55},
    "source": {"kind": "folder", "options": {}},
}


def card(**changes: Any) -> DataCard:
    return DataCard.model_validate(FACTS | changes)


def png(value: int, size: tuple[int, int] = (8, 8)) -> bytes:
    """A picture of one colour, whose red value is `value`."""
    return encoded(Image.fromarray(np.full((*size, 3), value % 256, np.uint8)), "PNG")


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


class Memory(Source):
    """A source whose images are given."""

    def __init__(self, splits: Mapping[str, Sequence[tuple[str, int, bytes]]]) -> None:
        self._splits = {
            split: [Sample(name, label, f"{split}:{name}") for name, label, _ in rows]
            for split, rows in splits.items()
        }
        self._images = {f"{s}:{n}": image for s, rows in splits.items() for n, _, image in rows}

    def samples(self, split: str) -> Sequence[Sample]:
        return self._splits[split]

    def images(self, samples: Iterable[Sample], workers: int) -> Iterator[bytes]:
        for sample in samples:
            yield self._images[sample.stamp]


def rows(count: int, n_classes: int = 5) -> list[tuple[str, int, bytes]]:
    """(name, label, image) of pictures whose red value is their number, class by class."""
    return [(f"{i:05d}.png", i * n_classes // count, png(i)) for i in range(count)]


def source(train: int = 30, test: int = 55) -> Memory:
    return Memory({"train": rows(train), "test": rows(test)})


def write(folder: Path, given: Source | None = None, **changes: Any) -> ShardSet:
    options = changes.pop("options", writing.Options())
    return writing.write(card(**changes), folder, given or source(), options, Listener())


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
