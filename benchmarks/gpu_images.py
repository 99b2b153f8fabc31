"""What is measured of images on a GPU, for `benchmarks.gpu`: evaluation, and augmentation."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from unittest.mock import patch

from torch import Tensor

from benchmarks import augment, loader
from benchmarks.gpu_steps import Bench, Rows
from benchmarks.work import synchronise
from promptbench.core.protocol import Target
from promptbench.data.loader import Batch, test_batches
from promptbench.data.shards.shards import ShardSet
from promptbench.models.preprocess import Preprocess
from promptbench.running.lab.calling import evaluating
from promptbench.running.lab.compute import Compute

_EACH = 100  # JPEGs that are made; a test set repeats them


def evaluation(bench: Bench) -> Rows:
    """Images per second of zero-shot CLIP in bf16: tensors that are there, bare open_clip on them,
    then a test set of JPEGs of 500 x 375 with 1 to 16 threads, decoded and from the cache."""
    now, compute = bench.opened("zeroshot", 100, bench.sized(100, 4), "bf16")
    method = now.method.eval()
    prepared = evaluating(compute, method.prepare, method.classes)

    def scored(images: Tensor) -> None:
        evaluating(compute, method.logits, images, prepared).argmax(-1).tolist()

    repeats, model = bench.sized(20, 2), now.towers.model
    bare = {
        "ours": lambda: scored(now.images.clone()),
        "open_clip": lambda: evaluating(compute, model.encode_image, now.images).float().cpu(),
    }
    for name, call in bare.items():
        times = []
        for number in range(repeats + 2):
            started = time.perf_counter()
            call()
            synchronise(bench.device)
            if number > 1:
                times.append(time.perf_counter() - started)
        rate = round(len(now.images) / median(times))
        yield {"images": "there", "path": name, "per_second": rate}

    preprocess = Preprocess(now.images.shape[-1])
    with tempfile.TemporaryDirectory() as scratch, patch.dict(os.environ):
        os.environ["PROMPTBENCH_CACHE"] = f"{scratch}/cache"
        data = photographs(Path(scratch), bench.sized(4000, 20))
        for threads in (1, 2) if bench.small else (1, 2, 4, 8, 16):
            for kind in ("decoded", "only read", "kept"):
                os.environ["PROMPTBENCH_IMAGES_GB"] = "8" if kind == "kept" else "0"
                asked = (data, Target("benchmark", "all", "none"), preprocess, threads)
                if kind == "kept":
                    for _ in test_batches(*asked, None):  # the pass that fills the cache
                        pass
                batches = test_batches(*asked, None if kind == "kept" else bench.sized(1000, 20))
                started, count = time.perf_counter(), 0
                for images in on_device(batches, compute, only_read=kind == "only read"):
                    if kind != "only read":
                        scored(images)
                    count += len(images)
                synchronise(bench.device)
                rate = round(count / (time.perf_counter() - started))
                yield {"images": kind, "workers": threads, "per_second": rate}


def on_device(batches: Iterable[Batch], compute: Compute, only_read: bool) -> Iterator[Tensor]:
    if only_read:  # by the host, sent nowhere
        yield from (batch.pixels for batch in batches)
    else:
        yield from (images for _, images, _ in compute.placed(batches))


def photographs(folder: Path, count: int) -> ShardSet:
    """A test set of generated JPEGs, which repeat."""
    made = folder / "made"
    made.mkdir()
    for number in range(min(_EACH, count)):
        (made / f"{number:03d}.jpg").write_bytes(augment.generated(number))
    tree = loader.class_folders(loader.images_below(made), folder / "tree", count)
    return loader.prepared(tree, folder / "stored", None)


def augmentation(bench: Bench) -> Rows:
    """Training images augmented on the host and on the device, batch 4 and 32; equal bits."""
    shots = augment.few_shot_set(None, bench.sized(200, 8))
    for batch in (4, 32):
        given = argparse.Namespace(
            batch=min(batch, len(shots)),
            workers=min(8, os.cpu_count() or 1),
            threads=1,
            epochs=bench.sized(3, 1),
        )
        found = augment.measure(shots, Compute(bench.device, "fp32"), given)
        yield {name: value for name, value in found.items() if name != "device"}
