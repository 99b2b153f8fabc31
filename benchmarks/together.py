"""Classifying one test set with several cells: a pass for each, or one in which all share batches.

    python -m benchmarks.together --method alignednorm --cells 3 --batch 16

A prototype of what runs do not do, to measure what it would gain: in the shared pass all cells see
the same images on the same towers, which compute what lies below the first edited block once. The
logits of both ways must be equal. Prints one line of JSON: `ratio` is a pass for each over the
shared one, `limit` the ratio of the counted work. Reading and decoding are in neither: images are
in memory, as they nearly are with decoded images kept (`benchmarks.decoded`).
"""

from __future__ import annotations

import argparse
import json
import platform
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from benchmarks import setting
from benchmarks.inference import gap_of
from benchmarks.work import Counter
from promptbench.core.method import Method
from promptbench.running.lab import arithmetic
from promptbench.running.lab.calling import evaluating
from promptbench.running.lab.compute import Compute, resolve


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", required=True)
    parser.add_argument("--cells", type=int, default=3, help="cells of this method, as of seeds")
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--batch", type=int, default=16)
    setting.add_machine(parser, repeats=3, threads=1)
    return parser.parse_args()


def as_of_seeds(method: Method, cells: int) -> list[Method]:
    """Copies on the same towers whose learned parameters differ a little."""
    methods = [method, *(deepcopy(method) for _ in range(cells - 1))]
    with torch.no_grad():
        for number, other in enumerate(methods):
            for parameter in other.parameters():
                parameter.mul_(1 + 0.01 * number)
    return [other.eval() for other in methods]


class Passes:
    """The two ways over one batch: [cells, n, classes] logits each."""

    def __init__(self, now: setting.Setting, cells: int, compute: Compute) -> None:
        self._images = now.images
        self._compute = compute
        self._cells: list[tuple[Method, Any]] = [
            (method, evaluating(compute, method.prepare, method.classes))
            for method in as_of_seeds(now.method, cells)
        ]

    def apart(self) -> Tensor:
        """Each cell sees a batch of its own, as runs do."""
        found = []
        for method, prepared in self._cells:
            self._compute.begin_step()
            images = self._images.clone()  # a tensor that the tower has not seen
            found.append(evaluating(self._compute, method.logits, images, prepared))
        return torch.stack(found)

    def shared(self) -> Tensor:
        """All cells see the same batch."""
        self._compute.begin_step()
        images = self._images.clone()
        return torch.stack(
            [evaluating(self._compute, m.logits, images, prepared) for m, prepared in self._cells]
        )


def main() -> None:
    options = arguments()
    compute = resolve(options.device, options.precision)
    arithmetic.settle(compute.device, options.threads)
    now = setting.setting(options.method, options.backbone, options.classes, options.batch, compute)
    passes = Passes(now, options.cells, compute)
    work = []
    for way in (passes.apart, passes.shared):
        with Counter(now.towers) as counter:
            way()
        work.append(counter.total)
    gap = gap_of(passes.shared(), passes.apart(), compute)
    apart, shared = setting.alternating(
        [passes.apart, passes.shared], options.repeats, compute.device
    )
    result = {
        "method": options.method,
        "cells": options.cells,
        "batch": options.batch,
        "device": compute.device_name if compute.device.type == "cuda" else platform.machine(),
        "threads": options.threads,
        "precision": compute.precision,
        "apart": setting.summary(apart),
        "shared": setting.summary(shared),
        "ratio": round(min(apart) / min(shared), 3),
        "limit": round(work[0] / work[1], 3) if work[1] else None,
        "gap": float(f"{gap:.1e}"),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
