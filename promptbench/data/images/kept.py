"""Decoded images that stay in memory for a training after their first use, as far as they fit."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from PIL import Image

from promptbench.data.images import transforms
from promptbench.data.images.pictures import decoded
from promptbench.data.images.transforms import Levels, Normalisation
from promptbench.data.shards.shards import Item

A = TypeVar("A")


class Kept(Generic[A]):
    """What `make` gives for samples, made once each; it may be called from several threads.

    At most `room` bytes are kept, counted by `size`; what has no room is made each time again.
    """

    def __init__(self, make: Callable[[Item], A], size: Callable[[A], int], room: int) -> None:
        self._make, self._size, self._room = make, size, room
        self._kept: dict[tuple[str, str], A] = {}
        self._lock = Lock()

    @property
    def kept_bytes(self) -> int:
        """Bytes of what is kept."""
        return sum(map(self._size, self._kept.values()))

    def __call__(self, item: Item) -> A:
        """What is made of a sample, whose key and shard stand for it."""
        name = (item.shard, item.key)
        if name in self._kept:
            return self._kept[name]
        made = self._make(item)
        size = self._size(made)
        with self._lock:
            if name not in self._kept and size <= self._room:
                self._kept[name] = made
                self._room -= size
        return made


def pictures(room: int) -> Kept[Image.Image]:
    """Decoded images for augmentation on the host, which changes none of them."""
    return Kept(lambda item: decoded(item), _bytes_of, room)


def under_test_transform(target: Normalisation, room: int) -> Kept[Levels]:
    """The levels uint8 [3, size, size] of images as they are tested."""
    return Kept(
        lambda item: transforms.for_testing(decoded(item), target), lambda own: own.nbytes, room
    )


def _bytes_of(image: Image.Image) -> int:
    return 4 * image.width * image.height  # Pillow's own layout of RGB
