"""Classifying images, ours against bare open_clip's encode_image.

    python -m benchmarks.inference --method zeroshot --batch 50

Prints one line of JSON. `ratio` above 1: our whole rule (logits over all classes) is faster than
the bare pass of only the image tower. `limit` is the ratio of the counted work. For the zero-shot
method the features must be equal, else it fails.
"""

from __future__ import annotations

import argparse
import json
import platform
from statistics import median

import torch

from benchmarks import setting
from benchmarks.step import peak_of_process
from benchmarks.work import Counter
from promptbench.core.method import unit
from promptbench.running.lab import arithmetic
from promptbench.running.lab.calling import evaluating
from promptbench.running.lab.compute import Compute, resolve


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", required=True)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--batch", type=int, default=50)
    setting.add_machine(parser, repeats=5, threads=2)
    return parser.parse_args()


def gap_of(logits: torch.Tensor, expected: torch.Tensor, compute: Compute) -> float:
    """Their largest relative difference.

    Raises:
        SystemExit: it is too large for float32.
    """
    gap = float((logits - expected).abs().max() / expected.abs().max())
    if compute.precision == "fp32" and gap > 1e-4:
        raise SystemExit(f"the logits differ by {gap:.1e}")
    return gap


def main() -> None:
    options = arguments()
    compute = resolve(options.device, options.precision)
    arithmetic.settle(compute.device, options.threads)
    now = setting.setting(options.method, options.backbone, options.classes, options.batch, compute)
    method, model, image = now.method.eval(), now.towers.model, now.towers.image
    prepared = evaluating(compute, method.prepare, method.classes)

    def ours() -> torch.Tensor:
        images = now.images.clone()  # a tensor that the tower has not seen
        compute.begin_step()
        return evaluating(compute, method.logits, images, prepared)

    def bare() -> torch.Tensor:
        features: torch.Tensor = evaluating(compute, model.encode_image, now.images)
        return features

    gap = None
    if options.method == "zeroshot":
        expected = now.towers.logit_scale * unit(bare()) @ prepared.T
        gap = gap_of(ours(), expected, compute)
    bare()
    with Counter(now.towers) as counter:
        ours()
    our_times, bare_times = setting.alternating([ours, bare], options.repeats, compute.device)
    result = {
        "method": options.method,
        "classes": options.classes,
        "batch": options.batch,
        "device": compute.device_name if compute.device.type == "cuda" else platform.machine(),
        "threads": options.threads,
        "precision": compute.precision,
        "ours": setting.summary(our_times),
        "encode_image": setting.summary(bare_times),
        "ratio": round(min(bare_times) / min(our_times), 3),
        "ratio_of_medians": round(median(bare_times) / median(our_times), 3),
        "limit": round(options.batch * now.image_tokens * image.n_blocks / counter.total, 3),
        "gap": gap and float(f"{gap:.1e}"),
        "images_per_second": round(1000 * options.batch / min(our_times), 1),
        "peak_mb": peak_of_process(compute),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
