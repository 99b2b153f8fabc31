"""Test images per second: decoded, against read from the cache of decoded images.

    python -m benchmarks.decoded FOLDER --workers 1

FOLDER holds images (no class folders needed). Passes run in turn, in one process: with the cache
switched off, from an empty cache (decoded, and kept), and from a full one; each ends in levels of 8
bits, which is what is sent to a device, and, apart, in normalised float32 on the CPU. Every pass
must give the same pixels. Prints one line of JSON: images per second and CPU milliseconds per image
of each, the second as images per second and core; ratios of full over empty, of both.

    python -m benchmarks.decoded FOLDER --scaling 1,2,4

measures decoding with several threads instead (`rate`; 1 and 2 must be among them). `held` is the
share of its time for which a thread holds the interpreter's lock, from what two gain over one, and
`predicted` the gain that follows for more cores. It needs two idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
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
    CLIP,
    Pass,
    class_folders,
    cpu_seconds,
    images_below,
    one_pass,
    prepared,
)
from promptbench.core.protocol import Target
from promptbench.data import loader
from promptbench.data.shards.shards import ShardSet
from promptbench.support import allotted

KINDS = ("off", "empty", "full")
CORES = (1, 2, 4, 8, 16, 32)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder of images")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--passes", type=int, default=3, help="measured passes of each kind")
    parser.add_argument("--images", type=int, default=500, help="few images are repeated")
    parser.add_argument("--scaling", help="numbers of threads, such as 1,2,4")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    found = images_below(given.folder)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["PROMPTBENCH_CACHE"] = f"{scratch}/cache"
        tree = class_folders(found, Path(scratch) / "tree", given.images)
        data = prepared(tree, Path(scratch) / "stored", None)
        if given.scaling:
            result = scaling(data, [int(number) for number in given.scaling.split(",")])
        else:
            result = measure(data, Path(scratch) / "cache" / "images", given)
        print(json.dumps(result, sort_keys=True))


def measure(data: ShardSet, cache: Path, given: argparse.Namespace) -> dict[str, Any]:
    count = data.index.splits["test"].count
    results: dict[str, Any] = {"images": count, "workers": given.workers}
    for ending, as_numbers in (("bytes", False), ("float32", True)):
        passes: dict[str, list[Pass]] = {kind: [] for kind in KINDS}
        for number in range(given.passes + 1):
            for kind in KINDS:
                os.environ["PROMPTBENCH_IMAGES_GB"] = "0" if kind == "off" else "8"
                if kind == "empty":
                    shutil.rmtree(cache, ignore_errors=True)
                done = timed(partial(batches, data, given.workers, as_numbers))
                if number:  # the first round warms everything else
                    passes[kind].append(done)
        cpu = {k: 1e3 * statistics.median(p.cpu for p in d) / count for k, d in passes.items()}
        wall = {k: count / statistics.median(p.seconds for p in d) for k, d in passes.items()}
        results[ending] = {
            "cpu_ms_per_image": {k: round(ms, 3) for k, ms in cpu.items()},
            "per_second_and_core": {k: round(1e3 / ms) for k, ms in cpu.items()},
            "per_second": {k: round(rate) for k, rate in wall.items()},
            "ratio_cpu": round(cpu["empty"] / cpu["full"], 1),
            "ratio": round(wall["full"] / wall["empty"], 1),
        }
    require_equal(data, cache, given.workers)
    return results


def batches(data: ShardSet, workers: int, as_numbers: bool) -> Iterable[Tensor]:
    for batch in loader.test_batches(data, Target("benchmark", "all", "none"), CLIP, workers, None):
        yield batch.images if as_numbers else batch.pixels


def timed(made: Callable[[], Iterable[Tensor]]) -> Pass:
    """A pass without a look at its pixels, which would take longer than reading them."""
    started, cpu = time.perf_counter(), cpu_seconds()
    for _ in made():
        pass
    return Pass(time.perf_counter() - started, cpu_seconds() - cpu, 0.0)


def require_equal(data: ShardSet, cache: Path, workers: int) -> None:
    """End the benchmark if a pass of any kind gives other pixels."""
    shutil.rmtree(cache, ignore_errors=True)
    sums = set()
    for kind in KINDS:
        os.environ["PROMPTBENCH_IMAGES_GB"] = "0" if kind == "off" else "8"
        done = one_pass(partial(batches, data, workers, True), data.index.splits["test"].count)
        sums.add(done.pixels)
    if len(sums) > 1:
        raise SystemExit("the passes give different pixels")


# --- threads ------------------------------------------------------------------------------------


def scaling(data: ShardSet, threads: list[int]) -> dict[str, Any]:
    os.environ["PROMPTBENCH_IMAGES_GB"] = "0"
    count = data.index.splits["test"].count
    rates: dict[int, list[float]] = {number: [] for number in threads}
    for _ in range(3):
        for number in threads:
            done = timed(partial(batches, data, number, False))
            rates[number].append(count / done.seconds)
    rate = {number: statistics.median(found) for number, found in rates.items()}
    held = max(2 * rate[1] / rate[2] - 1, 0.0)
    return {
        "images": count,
        "cores": allotted.cores(),
        "rate": {number: round(found) for number, found in rate.items()},
        "held": round(held, 4),
        # What holds the lock runs one after the other, the rest on all cores (Amdahl's law).
        "predicted": {n: round(1 / (held + (1 - held) / n), 1) for n in CORES},
    }


if __name__ == "__main__":
    main()
