"""Pretraining's pictures, attribute labels and captions."""

from __future__ import annotations

import functools
import itertools
import multiprocessing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptbench.demo import captions
from promptbench.demo.canvas import PIXELS
from promptbench.demo.render import PRETRAINING, render
from promptbench.demo.world import ATTRIBUTES, Spec, sample_pretraining
from promptbench.support import seeding

# CLIP's own normalisation, so that the default preprocessing fits.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
_CHUNK = 256


def _drawn(seed: int, index: int) -> tuple[Spec, np.random.Generator]:
    """What picture `index` shows, and the stream that goes on to draw it."""
    rng = seeding.generator(seed, "pretraining", index)
    return sample_pretraining(rng), rng


def _render_chunk(seed: int, indices: Sequence[int]) -> NDArray[np.uint8]:
    drawn = (_drawn(seed, index) for index in indices)
    return np.stack([render(rng, spec, PRETRAINING) for spec, rng in drawn])


def specs(seed: int, count: int) -> list[Spec]:
    """What the first `count` pictures show."""
    return [_drawn(seed, index)[0] for index in range(count)]


def render_pictures(seed: int, count: int, workers: int) -> Iterator[NDArray[np.uint8]]:
    """The first `count` pictures in order, in chunks uint8 [n, 32, 32, 3]."""
    chunks = (range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK))
    draw = functools.partial(_render_chunk, seed)
    if workers <= 1:
        yield from map(draw, chunks)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(draw, chunks)


def cache_pictures(path: Path, chunks: Iterator[NDArray[np.uint8]], count: int) -> None:
    """Write chunks of pictures to a .npy file, which appears only when it is complete."""
    scratch = path.with_suffix(".part")
    shape = (count, PIXELS, PIXELS, 3)
    pictures = np.lib.format.open_memmap(scratch, mode="w+", dtype=np.uint8, shape=shape)
    start = 0
    for chunk in chunks:
        pictures[start : start + len(chunk)] = chunk
        start += len(chunk)
    pictures.flush()
    scratch.rename(path)


def normalised(pictures: NDArray[np.uint8]) -> Tensor:
    """uint8 [batch, 32, 32, 3] as the vision tower wants it: float32 [batch, 3, 32, 32]."""
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    return (images - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def labels(shown: Sequence[Spec]) -> dict[str, Tensor]:
    """Every attribute as an index into its values: int64 [pictures] each."""
    numbers = {name: {v: i for i, v in enumerate(vs)} for name, vs in ATTRIBUTES.items()}
    return {
        name: torch.tensor([number[getattr(spec, name)] for spec in shown])
        for name, number in numbers.items()
    }


class CaptionEncoder:
    """Captions of pictures as token ids, cut to the longest of the batch."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._word_ids = functools.cache(tokenizer.encode)

    def captions(self, rng: np.random.Generator, shown: Sequence[Spec]) -> Tensor:
        """A new caption for each picture: int64 [batch, tokens]."""
        return self.texts([captions.caption(rng, spec) for spec in shown])

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Texts between start and end token, padded with zeros: int64 [batch, tokens]."""
        rows = [self._ids(text) for text in texts]
        columns = itertools.zip_longest(*rows, fillvalue=0)
        return torch.tensor(list(columns)).T.contiguous()

    def _ids(self, text: str) -> list[int]:
        words = text.replace(".", " .").split()  # word by word, for the cache
        ids = [token for word in words for token in self._word_ids(word)]
        return [self._tokenizer.sot_token_id, *ids, self._tokenizer.eot_token_id]


class Batches:
    """Endless batches of indices: one shuffled pass over the data after another."""

    def __init__(self, rng: np.random.Generator, count: int, size: int) -> None:
        self._rng, self._count, self._size = rng, count, min(size, count)

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        while True:
            order = self._rng.permutation(self._count)
            for start in range(0, self._count - self._size + 1, self._size):
                yield np.sort(order[start : start + self._size])
