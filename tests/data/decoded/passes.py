"""Passes over the dataset, and the folder in which their decoded images are kept."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from promptbench.core.protocol import Target
from promptbench.data import loader
from promptbench.data.shards.shards import ShardSet
from promptbench.models.preprocess import Preprocess
from tests.data import toy

ALL, BASE, NEW = (Target("toy", name, "none") for name in ("all", "base", "new"))
SMALL = Preprocess(16)
SLOT = 3 * 16 * 16


def noisy(count: int, first: int) -> list[tuple[str, int, bytes]]:
    rows = []
    for number in range(count):
        rng = np.random.default_rng(first + number)
        pixels = rng.integers(0, 256, (20 + number % 7, 30, 3), dtype=np.uint8)
        rows.append(
            (f"{number:05d}.png", number * 5 // count, toy.encoded(Image.fromarray(pixels), "PNG"))
        )
    return rows


def seen(
    data: ShardSet,
    target: Target = ALL,
    how: Preprocess = SMALL,
    workers: int = 0,
    size: int = 8,
    limit: int | None = None,
) -> str:
    """A hash of the keys, labels and normalised images of a pass."""
    digest = hashlib.sha256()
    for batch in loader.test_batches(data, target, how, workers, limit, size):
        assert batch.pixels.dtype == torch.uint8 and batch.pixels.is_contiguous()
        digest.update(repr((batch.keys, batch.labels.tolist(), batch.images.shape)).encode())
        digest.update(batch.images.numpy().tobytes())
    return digest.hexdigest()


def cache() -> Path:
    return Path(os.environ["PROMPTBENCH_CACHE"]) / "images"


def kept() -> list[Path]:
    return sorted(cache().glob("*.images"))
