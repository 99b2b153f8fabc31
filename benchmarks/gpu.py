"""The first measurements on a GPU, in the order in which decisions hang on them.

    python -m benchmarks.gpu                 all of them; lines of JSON, as the numbers come
    python -m benchmarks.gpu --only chunks   some of them, comma-separated
    python -m benchmarks.gpu --dry           all on the CPU with tiny sizes: does everything run?

What fails is reported in its line, and the rest goes on; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator

import torch

from benchmarks import augment, gpu_numbers, gpu_processes, gpu_steps
from benchmarks.gpu_steps import Bench, Row
from benchmarks.work import synchronise
from promptbench.models.preprocess import Preprocess
from promptbench.running.lab import arithmetic
from promptbench.running.lab.calling import evaluating

Measurement = Callable[[Bench], Iterator[Row]]


def evaluation(bench: Bench) -> Iterator[Row]:
    """Images per second: tensors that are there, bare open_clip on them, then from JPEG with 1 to
    16 decoding threads."""
    now, compute = bench.opened("zeroshot", 100, bench.sized(100, 4), "bf16")
    method = now.method.eval()
    prepared = evaluating(compute, method.prepare, method.classes)
    size = now.images.shape[-1]
    preprocess = Preprocess(size)
    shots = augment.few_shot_set(None, bench.sized(2000, 8))

    def rate(batches: Iterator[torch.Tensor]) -> float:
        count, started = 0, time.perf_counter()
        for images in batches:
            evaluating(compute, method.logits, images, prepared).argmax(-1).tolist()
            count += len(images)
        synchronise(bench.device)
        return round(count / (time.perf_counter() - started), 1)

    repeats = bench.sized(20, 2)
    rate(now.images.clone() for _ in range(2))
    yield {"workers": None, "per_second": rate(now.images.clone() for _ in range(repeats))}
    evaluating(compute, now.towers.model.encode_image, now.images)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        evaluating(compute, now.towers.model.encode_image, now.images)
        synchronise(bench.device)
        times.append(time.perf_counter() - started)
    yield {"workers": None, "bare": True, "per_second": round(len(now.images) / min(times), 1)}
    for threads in (1, 2) if bench.small else (1, 2, 4, 8, 16):
        placed = compute.placed(shots.plain(preprocess, threads))
        yield {"workers": threads, "per_second": rate(images for _, images, _ in placed)}


def augmentation(bench: Bench) -> Iterator[Row]:
    """Training images augmented on the host and on the device, batch 4 and 32."""
    for batch in (4, 32):
        shots = augment.few_shot_set(None, bench.sized(500, 8))
        given = argparse.Namespace(
            batch=min(batch, len(shots)), workers=2, threads=1, epochs=bench.sized(5, 1)
        )
        yield augment.measure(shots, gpu_steps.Compute(bench.device, "fp32"), given)


MEASUREMENTS: dict[str, Measurement] = {
    "tests": gpu_processes.tests,
    "runs": gpu_processes.runs,
    "precisions": gpu_numbers.precisions,
    "determinism": gpu_numbers.determinism,
    "flips": gpu_numbers.flips,
    "variants": gpu_numbers.variants,
    "launches": gpu_steps.launches,
    "steps": gpu_steps.steps,
    "chunks": gpu_steps.chunks,
    "workers": gpu_processes.workers,
    "evaluation": evaluation,
    "compiled": gpu_steps.compiled,
    "augmentation": augmentation,
    "small_cards": gpu_steps.small_cards,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(MEASUREMENTS), help="comma-separated")
    parser.add_argument("--dry", action="store_true", help="on the CPU, with tiny sizes")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := set(names) - set(MEASUREMENTS):
        raise SystemExit(
            f"no measurement {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}"
        )
    if not options.dry and not torch.cuda.is_available():
        raise SystemExit("there is no GPU; --dry tries everything on the CPU with tiny sizes")
    bench = Bench(torch.device("cpu") if options.dry else torch.device("cuda", 0), options.dry)
    arithmetic.settle(bench.device, None)
    worked = [measured(name, bench) for name in names]
    sys.exit(0 if all(worked) else 1)


def measured(name: str, bench: Bench) -> bool:
    """Print a measurement's rows as they come; whether it has worked."""
    started = time.perf_counter()
    try:
        for row in MEASUREMENTS[name](bench):
            print(json.dumps({"measurement": name, **row}), flush=True)
    except Exception as error:  # the others are wanted all the same
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        print(json.dumps({"measurement": name, "failed": reason}), flush=True)
        return False
    seconds = round(time.perf_counter() - started, 1)
    print(json.dumps({"measurement": name, "done_s": seconds}), flush=True)
    return True


if __name__ == "__main__":
    main()
