"""Training images per second: augmented with Pillow on the host against tensors on the device.

    python -m benchmarks.augment FOLDER --device cuda --batch 32

FOLDER holds images; without one, JPEGs of 500 x 375 pixels are generated. Both ways give the same
epochs of the same few-shot set to the same device, in turn, in one run; every bit of every batch
must be equal. Prints one line of JSON: images per second and CPU milliseconds per image (threads
included), of the device also in its first epoch, which decodes; ratios of more than 1 mean that the
device is faster. `busy_ms_per_image` is how long the device itself works on an image.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.loader import CLIP
from benchmarks.work import synchronise
from promptbench.data.images.augmentation import Augment, Augmentation
from promptbench.data.images.resident import OnDevice
from promptbench.data.layouts.files import SUFFIXES
from promptbench.data.loader import FewShotSet
from promptbench.data.shards.shards import Item
from promptbench.running.lab import arithmetic
from promptbench.running.lab.compute import Compute, resolve

GENERATED = 64


@dataclass(frozen=True)
class Pass:
    """One epoch: images, wall-clock seconds, CPU seconds of the process."""

    images: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.images / self.seconds

    @property
    def cpu_ms(self) -> float:
        return 1000 * self.cpu / self.images


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="a folder of images")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2, help="threads that decode ahead")
    parser.add_argument("--threads", type=int, default=1, help="of a tensor operation on the CPU")
    parser.add_argument("--epochs", type=int, default=5, help="measured epochs of each way")
    parser.add_argument("--images", type=int, default=500, help="at most")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    compute = resolve(given.device, "fp32")
    arithmetic.settle(compute.device, given.threads)
    shots = few_shot_set(given.folder, given.images)
    print(json.dumps(measure(shots, compute, given), sort_keys=True))


def measure(shots: FewShotSet, compute: Compute, given: argparse.Namespace) -> dict[str, object]:
    augmentation = Augmentation(CLIP, (0.08, 1.0), 0.5)
    on_device = OnDevice(augmentation, compute.device, room=1 << 40)
    ways: dict[str, Augment] = {"host": augmentation.on_host, "device": on_device}
    passes: dict[str, list[Pass]] = {name: [] for name in ways}
    for number in range(given.epochs + 1):
        for name, augment in ways.items():
            passes[name].append(one_pass(shots, number, augment, compute, given))
    require_equal(shots, ways, compute, given)
    first = passes["device"][0]
    rate = {n: statistics.median(p.rate for p in done[1:]) for n, done in passes.items()}
    cpu = {n: statistics.median(p.cpu_ms for p in done[1:]) for n, done in passes.items()}
    return {
        "images": len(shots),
        "batch": given.batch,
        "workers": given.workers,
        "threads": given.threads,
        "device": compute.device_name,
        "images_per_second": {n: round(r, 1) for n, r in rate.items()},
        "images_per_second_first_epoch": round(first.rate, 1),
        "cpu_ms_per_image": {n: round(ms, 2) for n, ms in cpu.items()},
        "busy_ms_per_image": busy_ms(shots, on_device, compute, given.batch),
        "ratio": round(rate["device"] / rate["host"], 3),
        "ratio_cpu": round(cpu["host"] / cpu["device"], 3),
        "kept_mb": round(on_device.kept_bytes / 2**20, 1),
    }


def few_shot_set(folder: Path | None, most: int) -> FewShotSet:
    """The images of a folder, or generated ones, as a few-shot set."""
    if folder is None:
        images = [generated(seed) for seed in range(min(GENERATED, most))]
    else:
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
        images = [path.read_bytes() for path in found[:most]]
    if not images:
        sys.exit(f"{folder} holds no images")
    items = tuple(Item(f"{number:06d}", image, number % 2) for number, image in enumerate(images))
    return FewShotSet(items, ("even", "odd"))


def generated(seed: int) -> bytes:
    """A JPEG with coarse and fine structure, of the size that photographs in the field have."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC)
    noisy = np.asarray(image) + rng.normal(0, 8, (375, 500, 3))
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def batches(
    shots: FewShotSet, number: int, augment: Augment, compute: Compute, given: argparse.Namespace
) -> Iterator[Tensor]:
    """An epoch's images on the device, as `promptbench.running.training.train` gets them."""
    epoch = shots.epoch(
        number, seed=1, batch_size=given.batch, augment=augment, workers=given.workers
    )
    for _, images, _ in compute.placed(epoch):
        yield images


def one_pass(
    shots: FewShotSet, number: int, augment: Augment, compute: Compute, given: argparse.Namespace
) -> Pass:
    synchronise(compute.device)
    started, cpu = time.perf_counter(), time.process_time()
    count = sum(len(images) for images in batches(shots, number, augment, compute, given))
    synchronise(compute.device)
    return Pass(count, time.perf_counter() - started, time.process_time() - cpu)


def require_equal(
    shots: FewShotSet, ways: dict[str, Augment], compute: Compute, given: argparse.Namespace
) -> None:
    """End the benchmark if the two ways differ in any bit of the last epoch."""
    epochs = (batches(shots, given.epochs, augment, compute, given) for augment in ways.values())
    for number, (host, device) in enumerate(zip(*epochs, strict=True)):
        if not torch.equal(host, device):
            raise SystemExit(f"the two ways differ in batch {number}")


def busy_ms(shots: FewShotSet, augment: OnDevice, compute: Compute, batch: int) -> float:
    """Milliseconds per image between the first and the last operation of a batch on the device."""
    items = shots.items[:batch]
    rngs = [np.random.default_rng(number) for number in range(len(items))]
    if compute.device.type == "cuda":
        with torch.cuda.device(compute.device):  # events are recorded where the work is
            begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begun.record()
            augment(items, rngs)
            ended.record()
            ended.synchronize()
        return round(float(begun.elapsed_time(ended)) / len(items), 3)
    started = time.perf_counter()
    augment(items, rngs)
    return round(1000 * (time.perf_counter() - started) / len(items), 3)


if __name__ == "__main__":
    main()
