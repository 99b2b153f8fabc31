"""What is measured of steps on a GPU, for `benchmarks.gpu`: each yields rows of numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch

from benchmarks import naive, setting
from benchmarks.naive import Naive
from benchmarks.setting import Setting
from benchmarks.step import Losses, Step, ours, replayer, stepper
from benchmarks.work import synchronise
from promptbench.core.registry import METHODS
from promptbench.models.towers import Towers, memory
from promptbench.running.lab.calling import learning
from promptbench.running.lab.compute import Compute, Precision

Row = dict[str, Any]
Rows = Generator[Row, None, None]

_METHODS = ("coop", "maple", "mmrlpp", "alignednorm", "cliplora")
_PRECISIONS: tuple[Precision, ...] = ("bf16", "fp32")


@dataclass(frozen=True)
class Bench:
    """The device, how large everything is (`small` for a trial on a CPU), and until when a
    measurement may take, by `time.monotonic`."""

    device: torch.device
    small: bool
    deadline: float

    def left(self) -> float:
        """Seconds that the measurement has left, at least for the programs that it starts."""
        return self.deadline - time.monotonic()

    @property
    def backbone(self) -> str:
        return setting.TINY if self.small else "ViT-B-16-quickgelu"

    def sized(self, whole: int, small: int) -> int:
        return small if self.small else whole

    def opened(
        self,
        method: str,
        classes: int,
        batch: int,
        precision: Precision,
        towers: Towers | None = None,
    ) -> tuple[Setting, Compute]:
        """A method with random weights, or those of towers, and a random batch; class lists of a
        trial are short."""
        compute = Compute(self.device, precision)
        classes = min(classes, self.sized(classes, 10))
        return setting.setting(method, self.backbone, classes, batch, compute, towers), compute

    def reserved_mb(self) -> int:
        """Memory that torch has taken from the GPU, and 0 on a CPU."""
        on_gpu = self.device.type == "cuda"
        return torch.cuda.memory_reserved(self.device) >> 20 if on_gpu else 0

    def peak_mb(self) -> int:
        """Peak of allocated memory since the last call, and 0 on a CPU."""
        if self.device.type != "cuda":
            return 0
        peak = torch.cuda.max_memory_allocated(self.device) >> 20
        torch.cuda.reset_peak_memory_stats(self.device)
        return peak

    def forget(self) -> None:
        """Give memory back that nothing holds."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)


def step_ms(step: Step, device: torch.device, repeats: int) -> float:
    """Median of the steps' times after two that warm up; of fewer, but three, once two seconds
    have passed."""
    times: list[float] = []
    for number in range(repeats + 2):
        if len(times) >= 3 and sum(times) > 2000:
            break
        synchronise(device)
        started = time.perf_counter()
        step()
        synchronise(device)
        if number > 1:
            times.append(1000 * (time.perf_counter() - started))
    return round(median(times), 2)


def launches(bench: Bench) -> Rows:
    """Kernels per step and the share of the time in which the device works, over 20 steps.

    Expected: no kernel sorts, and a step is waited for once, for its losses (here at its end, too).
    """
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU]
    if bench.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    for name in _METHODS:
        now, compute = bench.opened(name, 50, 4, "bf16")
        step, count = stepper(now, lambda now=now: ours(now), compute), bench.sized(20, 2)
        step_ms(step, bench.device, 1)
        with profile(activities=activities) as seen:
            started = time.perf_counter()
            for _ in range(count):
                step()
            synchronise(bench.device)
            seconds = time.perf_counter() - started
        kernels = [e for e in seen.events() if e.device_type.name == "CUDA"]
        calls = [e.name for e in seen.events() if e.device_type.name == "CPU"]
        busy = sum(e.time_range.elapsed_us() for e in kernels) / 1e6
        unprofiled = step_ms(step, bench.device, count)
        yield {
            "method": name,
            "launches": round(len(kernels) / count),
            "sorting": round(sum("sort" in e.name.lower() for e in kernels) / count, 1),
            "waits": round(sum("Synchronize" in call for call in calls) / count, 1),
            "busy": round(busy / seconds, 3),
            "busy_unprofiled": round(1000 * busy / count / unprofiled, 3),
            "step_ms_profiled": round(1000 * seconds / count, 2),
            "step_ms": unprofiled,
        }
        bench.forget()


def graphs(bench: Bench) -> Rows:
    """Whole steps as a run replays them, as one CUDA graph, against their launches one by one; the
    replays have the bits of the steps (`promptbench.running.training.descent`)."""
    if bench.device.type != "cuda":
        yield {"left_out": "CUDA graphs need a GPU"}
        return
    others = (name for name in METHODS.names() if METHODS.load(name).cls.steady)
    for name in dict.fromkeys((*_METHODS, *others)):
        for classes in (50, 1000) if name in _METHODS else (50,):
            now, compute = bench.opened(name, classes, 4, "bf16")
            told: list[str] = []
            bench.forget()
            eager = stepper(now, lambda now=now: ours(now), compute)
            row: Row = {"method": name, "classes": classes}
            row["eager_ms"] = step_ms(eager, bench.device, 10)
            row["eager_mb"] = bench.peak_mb()
            replayed = replayer(now, compute, told.append)
            if replayed is None:
                yield {**row, "refused": told[0]}
            else:
                row["graph_ms"] = step_ms(replayed, bench.device, 10)
                row["graph_mb"] = bench.peak_mb()
                yield {**row, "gain": round(row["eager_ms"] / row["graph_ms"], 2)}
            del now, eager, replayed
            bench.forget()


def steps(bench: Bench) -> Rows:
    """Our step against the naive path: time, ratio and peak memory of each."""
    sizes = ((50, 4), (1000, 4), (500, 32), (1000, 32), (500, 4), (50, 32))
    for classes, batch in sizes[:1] if bench.small else sizes:
        for name in _METHODS:
            for precision in _PRECISIONS:
                now, compute = bench.opened(name, classes, batch, precision)
                build = partial(naive.build, name, now.method, now.viewed, now.labels)
                reference = learning(compute, build)
                assert reference is not None  # there is one of each
                row: Row = {"method": name, "classes": len(now.method.classes), "batch": batch}
                row["precision"] = precision
                paths = {"ours": lambda now=now: ours(now), "naive": _naive(reference, now)}
                for path, losses in paths.items():
                    step = stepper(now, losses, compute)
                    bench.forget()
                    row[f"{path}_ms"] = step_ms(step, bench.device, bench.sized(10, 1))
                    row[f"{path}_mb"] = bench.peak_mb()
                yield {**row, "ratio": round(row["naive_ms"] / row["ours_ms"], 2)}
                del now, reference, paths, step, losses
                bench.forget()


def _naive(reference: Naive, now: Setting) -> Callable[[], Losses]:
    return lambda: reference.losses(now.viewed, now.labels)


def chunks(bench: Bench) -> Rows:
    """Steps with class chunks given and not: time and peak memory."""
    for size in (None, 128, 16):
        now, compute = bench.opened("alignednorm", 500, 4, "bf16")
        now.towers.class_chunk = size
        step = stepper(now, lambda now=now: ours(now), compute)
        milliseconds = step_ms(step, bench.device, bench.sized(10, 1))
        yield {"chunk": size, "step_ms": milliseconds, "peak_mb": bench.peak_mb()}
        bench.forget()


def small_cards(bench: Bench) -> Rows:
    """1,000 classes at batch 32 as on cards of 24 and 8 GB: chunks, time, peak memory."""
    whole = memory.total
    for size in (24, 8):
        bench.forget()
        try:
            memory.total = lambda _, size=size: size * 10**9  # type: ignore[misc, assignment]
            if bench.device.type == "cuda":
                share = size * 10**9 / (whole(bench.device) or 1)
                torch.cuda.set_per_process_memory_fraction(min(share, 1.0), bench.device)
            for precision in ("bf16", "fp32"):
                now, compute = bench.opened("alignednorm", 1000, bench.sized(32, 2), precision)
                step = stepper(now, lambda now=now: ours(now), compute)
                milliseconds = step_ms(step, bench.device, bench.sized(5, 1))
                row = {"card_gb": size, "precision": precision, "chunk": now.towers.chunk_in_use}
                yield {**row, "step_ms": milliseconds, "peak_mb": bench.peak_mb()}
                del now, step
        finally:
            memory.total = whole
            if bench.device.type == "cuda":
                torch.cuda.set_per_process_memory_fraction(1.0, bench.device)


def compiled(bench: Bench) -> Rows:
    """`--compile` against none: the first step, later ones, and reserved memory; then over three
    class lists of one process, as cells of a run are; at last, longer lists."""
    for name in _METHODS[4:] if bench.small else _METHODS:
        yield _against_eager(bench, name, bench.sized(50, 5))
    yield from _one_after_the_other(bench, "maple", (5, 8) if bench.small else (50, 100, 51))
    for classes in (6,) if bench.small else (500, 1000):
        for name in ("coop",) if bench.small else ("coop", "alignednorm"):
            yield _against_eager(bench, name, classes)


def _against_eager(bench: Bench, method: str, classes: int) -> Row:
    row: Row = {}
    for wanted in (False, True):
        now, compute = bench.opened(method, classes, 4, "bf16")
        if wanted:
            now.towers.compile(lambda message: print(message, flush=True))
        step = stepper(now, lambda now=now: ours(now), compute)
        started = time.perf_counter()
        step()
        synchronise(bench.device)
        kind = "compiled" if wanted else "eager"
        row[f"{kind}_first_s"] = round(time.perf_counter() - started, 2)
        row[f"{kind}_ms"] = step_ms(step, bench.device, bench.sized(20, 1))
        row[f"{kind}_reserved_mb"] = bench.reserved_mb()
        now.towers.uncompile()
        size = len(now.method.classes)
        del now, step
        bench.forget()
    return {"method": method, "classes": size, **row}


def _one_after_the_other(bench: Bench, method: str, lists: Sequence[int]) -> Rows:
    """Class lists on towers that are compiled once: what each adds to reserved memory, and whether
    compiling was given up."""
    towers = None
    for classes in lists:
        now, compute = bench.opened(method, classes, 4, "bf16", towers)
        if towers is None:
            towers = now.towers
            towers.compile(lambda message: print(message, flush=True))
        step = stepper(now, lambda now=now: ours(now), compute)
        started = time.perf_counter()
        step()
        synchronise(bench.device)
        first = round(time.perf_counter() - started, 2)
        yield {
            "method": method,
            "classes": len(now.method.classes),
            "compiled_first_s": first,
            "compiled_ms": step_ms(step, bench.device, bench.sized(20, 1)),
            "compiled_reserved_mb": bench.reserved_mb(),
            "given_up": towers.text.has_given_up or towers.image.has_given_up,
        }
        towers.forget()
    assert towers is not None, "there is a list"
    towers.uncompile()
    bench.forget()
