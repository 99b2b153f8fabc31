"""Layout `generated`: images drawn by the demo suite's generator, in parallel, always the same."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from promptbench.data.cards import DataCard
from promptbench.data.shards import Item
from promptbench.demo import generate

_CHUNK = 16


def items(card: DataCard, split: str) -> Iterator[Item]:
    """The samples of a split, label by label."""
    per_class = card.splits[split] // len(card.classes)
    jobs = [(label, index) for label in range(len(card.classes)) for index in range(per_class)]
    draw = partial(_draw, card, split)
    workers = min(os.cpu_count() or 1, 16)
    if sys.platform != "linux" or workers == 1:
        yield from map(draw, jobs)
        return
    # Forked, because the drawing needs numpy and Pillow alone and the caller's main module (a
    # notebook, an unguarded script) must not run again.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(draw, jobs, chunksize=_CHUNK)


def _draw(card: DataCard, split: str, job: tuple[int, int]) -> Item:
    label, index = job
    image = generate.sample(card.source.options, card.classes[label], split, index)
    return Item(f"{label:04d}_{index:05d}", image, "png", label)
