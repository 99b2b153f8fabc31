"""A training step, ours against the naive path: time, memory, and the counted limit of the ratio.

    python -m benchmarks.step --method alignednorm --classes 300 --batch 8

Prints one line of JSON. Both paths must give one loss and one gradient (float32), else it fails.
Beside them stands a step of CoOp. A method whose blocks are changed and that has no path in
`naive.py` has "naive": null; of one that takes no steps, what it does with the batch is timed.
`limit` is the ratio of the token-blocks that the two paths compute; a measured ratio can exceed it
where our path also does less beside the counted products. `roofline_ms` is the time of our counted
work at the machine's rate for a large matrix product. On a GPU `replayed` is our step as a CUDA
graph, as a run takes it.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks import naive, setting
from benchmarks.naive import Losses, Naive
from benchmarks.setting import Setting
from benchmarks.work import Counter, matmul_rate
from promptbench.core.method import Solver
from promptbench.core.recipe import Recipe
from promptbench.running.lab import arithmetic
from promptbench.running.lab.calling import learning, losses_of
from promptbench.running.lab.compute import Compute, resolve
from promptbench.running.training.descent import Descent
from promptbench.running.training.step import Stepper, finite

Step = Callable[[], Tensor]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", required=True)
    parser.add_argument("--classes", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    setting.add_machine(parser, repeats=5, threads=2)
    parser.add_argument("--class-chunk", type=int)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--only", choices=["ours", "naive"], help="measure one path's memory")
    parser.add_argument("--no-memory", action="store_true")
    return parser.parse_args()


def ours(now: Setting) -> Losses:
    """The loss as `promptbench.running.training.train` computes it, of images new to the towers."""
    method = now.method
    return losses_of(method, method.classes, now.viewed.clone(), now.labels)


def stepper(now: Setting, losses: Callable[[], Losses], compute: Compute, lr: float = 0.0) -> Step:
    """One step as a training takes it, by itself at learning rate 0 so that all are alike.

    Both paths wait for their losses, as a training does.
    """
    taken = Stepper(now.method, Recipe(), compute)
    taken.set_lr(lr)

    def step() -> Tensor:
        compute.begin_step()
        terms, total = learning(compute, losses)
        taken.step(total, terms)
        finite({**terms, "total": total}, "in a benchmark", "nothing is trained")
        return total.detach()

    return step


def replayer(now: Setting, compute: Compute, tell: Callable[[str], None]) -> Step | None:
    """One of our steps, as a run replays it as a CUDA graph, at learning rate 0; None if that is
    not to be had, of which `tell` hears why where it was tried."""
    taken = Stepper(now.method, Recipe(), compute)
    taken.set_lr(0.0)
    descent = Descent(now.method, now.method.classes, taken, compute, True, tell)

    def step() -> Tensor:
        terms, total = descent.losses(now.viewed.clone(), now.labels, left=1 << 30)
        taken.follow_gradient()
        finite({**terms, "total": total}, "in a benchmark", "nothing is trained")
        return total

    for _ in range(5):  # the one that is recorded, and those that are compared with it
        step()
    return step if descent.replays else None


def gradient(now: Setting) -> Tensor:
    return torch.cat([p.grad.flatten() for p in now.method.parameters() if p.grad is not None])


def difference(ours: tuple[Tensor, Tensor], naive: tuple[Tensor, Tensor]) -> float:
    """The largest relative difference of loss and gradient."""
    gaps = ((a - b).abs().max() / b.abs().max() for a, b in zip(ours, naive, strict=True))
    return max(float(gap) for gap in gaps)


def peak_of(path: str) -> float:
    """Peak memory in MiB of a process that takes two steps of one path."""
    command = [sys.executable, "-m", "benchmarks.step", *sys.argv[1:], "--only", path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["peak_mb"])


def peak_of_process(compute: Compute) -> int:
    """Peak memory of this process so far, in MiB: of the GPU, or resident."""
    if compute.device.type == "cuda":
        return torch.cuda.max_memory_allocated(compute.device) >> 20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def opened(options: argparse.Namespace, compute: Compute) -> Setting:
    """The setting, with its towers as the options want them."""
    now = setting.setting(options.method, options.backbone, options.classes, options.batch, compute)
    now.towers.class_chunk = options.class_chunk
    if options.compile:
        now.towers.compile(lambda message: print(message, file=sys.stderr))
    return now


@dataclass(frozen=True)
class Measured:
    """Milliseconds of the steps by path, our counted work per step, and the largest relative
    difference of the two paths, None without a naive one."""

    times: dict[str, list[float]]
    work: float
    gap: float | None


def side_by_side(now: Setting, steps: dict[str, Step], repeats: int, compute: Compute) -> Measured:
    """Steps of all paths in turn.

    Raises:
        SystemExit: ours and the naive one differ.
    """
    last: dict[str, tuple[Tensor, Tensor]] = {}

    def kept(path: str) -> Callable[[], None]:
        def call() -> None:
            total = steps[path]()
            if path != "coop":
                last[path] = (total, gradient(now))

        return call

    for path in ("ours", "coop"):
        steps[path]()  # the class list's frozen activations are computed once
    with Counter(now.towers) as counter:
        measured = setting.alternating([kept(path) for path in steps], repeats, compute.device)
    gap = difference(last["ours"], last["naive"]) if "naive" in last else None
    if compute.precision == "fp32" and gap is not None and gap > 1e-3:
        raise SystemExit(f"the two paths differ: {gap:.1e} of loss or gradient")
    times = dict(zip(steps, measured, strict=True))
    return Measured(times, counter.total / repeats, gap)


def naive_work(now: Setting, reference: Naive) -> float:
    """The work of a naive step, in token-blocks of the image tower."""
    text, image = now.towers.text, now.towers.image
    of_class, of_image = reference.work(image.n_blocks, now.image_tokens)
    share = (text.width / image.width) ** 2
    return len(now.method.classes) * of_class * share + len(now.images) * of_image


def without_steps(now: Setting, repeats: int, compute: Compute) -> dict[str, Any]:
    """What a method does with the batch that takes no steps: the time of `solve`, if it has one."""
    method = now.method
    if not isinstance(method, Solver):
        return {"steps": "none: it learns nothing"}

    def solve() -> None:
        learning(compute, method.solve, now.shown())  # of images new to the towers

    solve()
    (times,) = setting.alternating([solve], repeats, compute.device)
    return {"steps": "none: it solves", "solve": setting.summary(times)}


def against_naive(
    now: Setting, reference: Naive | None, measured: Measured, rate: float
) -> dict[str, Any]:
    """What is said of our step beside the naive one."""
    width, ours = now.towers.image.width, measured.times["ours"]
    found: dict[str, Any] = {"naive": None, "ratio": None, "ratio_of_medians": None, "limit": None}
    if reference:
        theirs = measured.times["naive"]
        found = {
            "naive": setting.summary(theirs),
            "ratio": round(min(theirs) / min(ours), 2),
            "ratio_of_medians": round(median(theirs) / median(ours), 2),
            "limit": round(naive_work(now, reference) / max(measured.work, 1), 2),
        }
    return found | {
        "gap": None if measured.gap is None else float(f"{measured.gap:.1e}"),
        "roofline_ms": round(1000 * measured.work * 24 * width**2 / rate, 1),
        "matmul_gflops": round(rate / 1e9),
    }


def main() -> None:
    options = arguments()
    compute = resolve(options.device, options.precision)
    arithmetic.settle(compute.device, options.threads)
    now = opened(options, compute)
    cuda = compute.device.type == "cuda"
    result: dict[str, Any] = {
        "method": options.method,
        "classes": options.classes,
        "batch": options.batch,
        "device": compute.device_name if cuda else f"{platform.machine()} CPU",
        "threads": options.threads,
        "precision": compute.precision,
    }
    if isinstance(now.method, Solver) or not list(now.method.parameters()):
        print(json.dumps(result | without_steps(now, options.repeats, compute)))
        return
    build = partial(naive.build, options.method, now.method, now.viewed, now.labels)
    reference = learning(compute, build)
    steps = {"ours": stepper(now, lambda: ours(now), compute)}
    if reference:
        steps["naive"] = stepper(now, lambda: reference.losses(now.viewed, now.labels), compute)
    if options.only:
        for _ in range(2):
            steps[options.only]()
        print(json.dumps({"path": options.only, "peak_mb": peak_of_process(compute)}))
        return
    beside = opened(argparse.Namespace(**{**vars(options), "method": "coop"}), compute)
    steps["coop"] = stepper(beside, lambda: ours(beside), compute)
    measured = side_by_side(now, steps, options.repeats, compute)
    rate = matmul_rate(compute.device, compute.dtype, now.towers.image.width)
    times = measured.times
    result |= {"ours": setting.summary(times["ours"]), "coop": setting.summary(times["coop"])}
    result["to_coop"] = round(min(times["ours"]) / min(times["coop"]), 2)
    result |= against_naive(now, reference, measured, rate)
    told: list[str] = []
    if cuda and not options.compile:
        if replayed := replayer(now, compute, told.append):
            (found,) = setting.alternating([replayed], options.repeats, compute.device)
            result["replayed"] = setting.summary(found)
        else:
            result["replayed"] = told[0] if told else "the method does not say `steady`"
    if not options.no_memory:
        result["peak_mb"] = {path: peak_of(path) for path in ("ours", "naive") if path in steps}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
