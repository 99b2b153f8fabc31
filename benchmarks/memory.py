"""Where the memory of a training goes: what is resident after each stage of a process.

    python -m benchmarks.memory --method alignednorm --classes 500 --batch 32
    python -m benchmarks.memory --method coop --backbone promptbench-tiny --classes 12 --batch 32

Prints one line of JSON: MiB resident after each stage of this process and its highest so far, and
of what a step holds the parts that can be counted: weights, what is kept for backward (each storage
once), what is learned. Peaks that an earlier stage has reached stay.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PAGE = resource.getpagesize()
Stage = dict[str, int | str]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", required=True)
    parser.add_argument("--classes", type=int, default=500)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--backbone", default="ViT-B-16-quickgelu")
    parser.add_argument("--class-chunk", type=int)
    parser.add_argument("--steps", type=int, default=2)
    return parser.parse_args()


def resident() -> int:
    """MiB of this process that lie in memory now; its peak where the system does not say."""
    table = Path("/proc/self/statm")
    if table.is_file():
        return int(table.read_text().split()[1]) * _PAGE >> 20
    return peak()


def peak() -> int:
    """The most MiB of this process that were in memory so far."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most >> (20 if sys.platform == "darwin" else 10)


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Stages of a training, and the parts of a step's memory in MiB."""
    stages: list[Stage] = [_now("python")]
    import torch

    stages.append(_now("torch"))
    from benchmarks import setting
    from benchmarks.step import ours, stepper
    from promptbench.running import cell  # noqa: F401 - all that a run imports
    from promptbench.running.lab import arithmetic
    from promptbench.running.lab.compute import Compute

    stages.append(_now("promptbench"))
    compute = Compute(torch.device("cpu"), "fp32")
    arithmetic.settle(compute.device, 1)
    now = setting.setting(options.method, options.backbone, options.classes, options.batch, compute)
    now.towers.class_chunk = options.class_chunk
    stages.append(_now("backbone and method"))
    parts = {
        "weights": _mib(p.nbytes for p in now.towers.model.parameters()),
        "learned": _mib(p.nbytes for p in now.method.parameters() if p.requires_grad),
        "kept_for_backward": kept(lambda: ours(now), now.towers),
    }
    now.towers.forget()
    step = stepper(now, lambda: ours(now), compute)
    for _ in range(options.steps):
        step()
    stages.append(_now("steps"))
    return {**vars(options), "stages": stages, "parts": parts}


def kept(losses: Callable[[], Any], towers: Any) -> int:
    """MiB that autograd keeps of a forward pass beside the weights."""
    return _mib([held(losses, towers.model)])


def held(function: Callable[[], Any], model: Any) -> int:
    """Bytes that autograd keeps for the backward pass of what a function returns, beside the
    weights of a model, each storage counted once."""
    import torch

    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    seen: dict[int, int] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = function()  # which keeps them, so that no address is used twice
    found = sum(seen.values())
    del result
    return found


def _mib(sizes: Any) -> int:
    return round(sum(sizes) / 2**20)


def _now(stage: str) -> Stage:
    return {"after": stage, "resident_mb": resident(), "peak_mb": peak()}


if __name__ == "__main__":
    print(json.dumps(measured(arguments())))
