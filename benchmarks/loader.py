"""Test images per second: our shards against torchvision's ImageFolder and DataLoader.

    python -m benchmarks.loader FOLDER --workers 2

FOLDER holds images (no class folders needed). Both pipelines apply the same transform to the same
images with the same number of workers, in turn, in one run; every pixel must be equal. Prints one
line of JSON: images per second, CPU milliseconds per image (workers included), and ratios, where
more than 1 means that ours is faster; `resized` is the variant prepared with --resize-short 288.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from promptbench.core.protocol import Target
from promptbench.data import loader
from promptbench.data.cards.cards import CardSource, DataCard
from promptbench.data.layouts import folder as folder_layout
from promptbench.data.layouts.files import SUFFIXES
from promptbench.data.shards import writing
from promptbench.data.shards.shards import ShardSet
from promptbench.models.preprocess import Preprocess
from promptbench.support.compat import torchvision_functional
from promptbench.tracking import Listener

CLIP = Preprocess(224, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
RESIZED = 288


@dataclass
class Pass:
    """One pass over all images: seconds, CPU seconds, and a checksum of all pixels."""

    seconds: float
    cpu: float
    pixels: float


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder of images")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--passes", type=int, default=3, help="measured passes of each pipeline")
    parser.add_argument("--images", type=int, default=2000, help="at most; few are repeated")
    return parser.parse_args()


def images_below(folder: Path) -> list[Path]:
    """The images in a folder and below it, sorted.

    Raises:
        SystemExit: there are none.
    """
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not found:
        sys.exit(f"{folder} holds no images")
    return found


def main() -> None:
    given = arguments()
    found = images_below(given.folder)
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(measure(found, Path(scratch), given), sort_keys=True))


def measure(images: list[Path], scratch: Path, given: argparse.Namespace) -> dict[str, object]:
    tree = class_folders(images, scratch / "tree", given.images)
    stored = prepared(tree, scratch / "stored", None)
    resized = prepared(tree, scratch / "resized", RESIZED)
    pipelines: dict[str, Callable[[], Iterable[Tensor]]] = {
        "imagefolder": lambda: image_folder(tree, given.workers),
        "ours": lambda: ours(stored, given.workers),
        "resized": lambda: ours(resized, given.workers),
    }
    count = stored.index.splits["test"].count
    passes: dict[str, list[Pass]] = {name: [] for name in pipelines}
    for number in range(given.passes + 1):
        for name, batches in pipelines.items():
            done = one_pass(batches, count)
            if number:  # the first pass warms caches
                passes[name].append(done)
    if passes["ours"][0].pixels != passes["imagefolder"][0].pixels:
        raise SystemExit("the two pipelines give different pixels")
    return report(passes, count, given.workers)


def report(passes: dict[str, list[Pass]], count: int, workers: int) -> dict[str, object]:
    rate = {n: count / statistics.median(p.seconds for p in done) for n, done in passes.items()}
    cpu = {n: 1e3 * statistics.median(p.cpu for p in d) / count for n, d in passes.items()}
    return {
        "images": count,
        "workers": workers,
        "images_per_second": {name: round(value, 1) for name, value in rate.items()},
        "cpu_ms_per_image": {name: round(value, 2) for name, value in cpu.items()},
        "ratio": round(rate["ours"] / rate["imagefolder"], 3),
        "ratio_cpu": round(cpu["imagefolder"] / cpu["ours"], 3),
        "ratio_resized": round(rate["resized"] / rate["imagefolder"], 3),
        "ratio_cpu_resized": round(cpu["imagefolder"] / cpu["resized"], 3),
    }


def class_folders(images: list[Path], tree: Path, most: int) -> Path:
    """Copies of the images in two class folders, the layout that ImageFolder reads."""
    for number in range(min(most, max(len(images), 500))):
        image = images[number % len(images)]
        place = tree / ("even", "odd")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, place / f"{number:05d}{image.suffix}")
    return tree


def prepared(tree: Path, out: Path, resize_short: int | None) -> ShardSet:
    """The same images as shards."""
    count = sum(1 for _ in tree.glob("*/*"))
    card = DataCard(
        name="benchmark",
        title="benchmark",
        suite="own",
        version=1,
        template="{}",
        description="",
        licence="",
        citation="",
        classes=["even", "odd"],
        splits={"test": count},
        source=CardSource(
            kind="folder", options={"splits": {"test": "."}, "folders": ["even", "odd"]}
        ),
    )
    source = folder_layout.open_source(card, str(tree), Listener())
    workers = os.cpu_count() or 1  # few images make many samples: they repeat
    options = writing.WritingOptions(resize_short, workers=workers, allow_duplicates=True)
    return writing.write(card, out, source, options, Listener())


def ours(data: ShardSet, workers: int) -> Iterable[Tensor]:
    target = Target("benchmark", "all", "none")
    for batch in loader.test_batches(data, target, CLIP, workers, None):
        yield batch.images


def image_folder(tree: Path, workers: int) -> Iterable[Tensor]:
    f = torchvision_functional()
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor

    steps = [Resize(CLIP.size, f.InterpolationMode.BICUBIC), CenterCrop(CLIP.size)]
    transform = Compose([*steps, ToTensor(), Normalize(CLIP.mean, CLIP.std)])
    data = ImageFolder(str(tree), transform)
    for images, _ in torch.utils.data.DataLoader(
        data, batch_size=loader.EVAL_BATCH, num_workers=workers
    ):
        yield images


def one_pass(batches: Callable[[], Iterable[Tensor]], count: int) -> Pass:
    started, cpu = time.perf_counter(), cpu_seconds()
    seen, sums = 0, []
    for images in batches():
        seen += len(images)
        sums += images.double().sum((1, 2, 3)).tolist()
    if seen != count:
        raise SystemExit(f"{seen} images instead of {count}")
    # Sorted, because the two pipelines have different orders.
    return Pass(time.perf_counter() - started, cpu_seconds() - cpu, sum(sorted(sums)))


def cpu_seconds() -> float:
    usage = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


if __name__ == "__main__":
    main()
