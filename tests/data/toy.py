"""A small dataset in memory, and what the tests of data share."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from promptbench.data.cards.cards import DataCard
from promptbench.data.images.levels import normalised, stacked
from promptbench.data.images.transforms import Levels
from promptbench.data.layouts import ImageSource, Sample
from promptbench.data.shards import writing
from promptbench.data.shards.shards import ShardSet
from promptbench.errors import UserError
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


class Memory(ImageSource):
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


def rows(count: int, n_classes: int = 5, first: int = 0) -> list[tuple[str, int, bytes]]:
    """(name, label, image) of pictures whose red value counts up from `first`, class by class."""
    return [(f"{i:05d}.png", i * n_classes // count, png(first + i)) for i in range(count)]


def source(train: int = 30, test: int = 55) -> Memory:
    return Memory({"train": rows(train, first=100), "test": rows(test)})


def write(folder: Path, given: ImageSource | None = None, **changes: Any) -> ShardSet:
    options = changes.pop("options", writing.WritingOptions())
    return writing.write(card(**changes), folder, given or source(), options, Listener())


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def entered(of: Callable[..., Levels], image: Image.Image, target: Any, *given: Any) -> Tensor:
    """What a function of `transforms` makes of an image, as it enters a backbone: float32."""
    levels = of(image, target, *given)
    return normalised(stacked([levels]), target)[0]


SAY_NOTHING = Listener()


def refused(message: str, function: Callable[..., Any], *arguments: Any) -> None:
    """Assert that a call ends in a UserError that matches."""
    with pytest.raises(UserError, match=message):
        function(*arguments)


def images(folder: Path, *names: str) -> None:
    """Write small pictures under these names."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(number))


def tar(path: Path, members: list[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def sample(key: str, label: int, value: int | None = None) -> list[tuple[str, bytes]]:
    """An image whose red value is `value`, by default its label, and its label."""
    image = png(label if value is None else value)
    return [(f"{key}.png", image), (f"{key}.cls", str(label).encode())]


def clip_benchmark(folder: Path) -> None:
    """The layout of CLIP_benchmark's web datasets."""
    for split, count, first in (("train", 2, 100), ("test", 1, 0)):
        for number in range(count):
            value = first + 3 * number
            members = [m for k in range(3) for m in sample(f"s{k:07d}", k, value + k)]
            tar(folder / split / f"{number}.tar", members)
        (folder / split / "nshards.txt").write_text(str(count))
    (folder / "classnames.txt").write_text("ant\nbee\ncat\n")
    (folder / "zeroshot_classification_templates.txt").write_text("a blurry {c}.\na bad {c}.\n")
