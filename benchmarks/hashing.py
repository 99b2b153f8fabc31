"""The first pass over a test set: with its shards hashed, and with hashes that are remembered.

    python -m benchmarks.hashing FOLDER --workers 2

FOLDER holds images (no class folders needed). A first pass is what `promptbench run` does with a
test set before any feature of it is cached: the shards are compared with their index, then every
image is read, decoded and transformed; with --backbone its features are computed as well (random
weights). Both kinds of pass run in turn, each with the shards out of the system's page cache where
it lets them go. Prints one line of JSON: seconds of each kind; ratios, hashed over remembered, of
seconds and of CPU seconds; and `share` and `share_cpu`, the part of a pass in which shards are
hashed, which other processes on the machine disturb less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.loader import (
    Pass,
    class_folders,
    cpu_seconds,
    images_below,
    one_pass,
    ours,
    prepared,
)
from benchmarks.setting import random_towers
from promptbench.data.shards import hashes, shards
from promptbench.data.shards.shards import ShardSet
from promptbench.running.lab.compute import resolve
from promptbench.tracking import Listener

KINDS = ("hashed", "remembered")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder of images")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--passes", type=int, default=5, help="measured passes of each kind")
    parser.add_argument("--images", type=int, default=500, help="few images are repeated")
    parser.add_argument("--backbone", help="compute features too, such as with ViT-B-16-quickgelu")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    found = images_below(given.folder)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["PROMPTBENCH_CACHE"] = f"{scratch}/cache"
        data = prepared(
            class_folders(found, Path(scratch) / "tree", given.images),
            Path(scratch) / "stored",
            None,
        )
        print(json.dumps(measure(data, Path(scratch) / "cache", given), sort_keys=True))


def measure(data: ShardSet, cache: Path, given: argparse.Namespace) -> dict[str, Any]:
    embed = features_of(given.backbone) if given.backbone else lambda images: images
    count = data.index.splits["test"].count
    passes: dict[str, list[Pass]] = {kind: [] for kind in KINDS}
    shares: list[tuple[float, float]] = []
    for number in range(given.passes + 1):
        for kind in KINDS if number % 2 else reversed(KINDS):
            prepare_for(kind, data, cache)
            checking: list[float] = []
            done = one_pass(partial(first_pass, data, given.workers, embed, checking), count)
            if number:  # the first pass warms everything else
                passes[kind].append(done)
                if kind == "hashed":
                    shares.append((checking[0] / done.seconds, checking[1] / done.cpu))
    sizes = data.index.splits["test"].sizes or {}
    seconds = {k: [p.seconds for p in done] for k, done in passes.items()}
    cpus = {k: [p.cpu for p in done] for k, done in passes.items()}
    return {
        "images": count,
        "megabytes": round(sum(sizes.values()) / 1e6, 1),
        "workers": given.workers,
        "seconds": {k: round(statistics.median(s), 3) for k, s in seconds.items()},
        "ratio": ratio(seconds),
        "ratio_cpu": ratio(cpus),
        "share": round(statistics.median(wall for wall, _ in shares), 4),
        "share_cpu": round(statistics.median(cpu for _, cpu in shares), 4),
    }


def ratio(times: dict[str, list[float]]) -> float:
    """The median of pairs that ran one after the other."""
    pairs = zip(*(times[kind] for kind in KINDS), strict=True)
    return round(statistics.median(hashed / known for hashed, known in pairs), 3)


def prepare_for(kind: str, data: ShardSet, cache: Path) -> None:
    """Let a pass find its hashes remembered or not, and its shards not in memory."""
    for log in (cache / "hashes").glob("*.jsonl"):
        log.unlink()
    if kind == "remembered":
        for name in data.index.splits["test"].shards:
            hashes.remembered(data.folder / name)
    for name in data.index.splits["test"].shards:
        with (data.folder / name).open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def first_pass(
    data: ShardSet, workers: int, embed: Callable[[Tensor], Tensor], checking: list[float]
) -> Iterable[Tensor]:
    opened = shards.open_set(data.card, data.folder)
    started, cpu = time.perf_counter(), cpu_seconds()
    opened.check(["test"], Listener())
    checking += time.perf_counter() - started, cpu_seconds() - cpu
    for images in ours(opened, workers):
        embed(images)
        yield images


def features_of(backbone: str) -> Callable[[Tensor], Tensor]:
    """Frozen image features by a backbone with random weights."""
    tower = random_towers(backbone, resolve("cpu", "fp32")).image

    def embed(images: Tensor) -> Tensor:
        with torch.inference_mode():
            found: Tensor = tower.features(tower.tokens(images))
            tower.forget()
            return found

    return embed


if __name__ == "__main__":
    main()
