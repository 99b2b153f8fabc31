"""What is measured of steps on a GPU, for `benchmarks.gpu`: each yields rows of numbers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks import setting
from benchmarks.setting import Setting
from benchmarks.step import Step, ours, stepper
from benchmarks.work import synchronise
from promptbench.lab.calling import evaluating
from promptbench.lab.compute import Compute, Precision
from promptbench.registry import METHODS
from promptbench.towers import memory

Row = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """The device, and how large everything is: `small` for a trial on a CPU."""

    device: torch.device
    small: bool

    @property
    def backbone(self) -> str:
        return setting.TINY if self.small else "ViT-B-16-quickgelu"

    def sized(self, whole: int, small: int) -> int:
        return small if self.small else whole

    def opened(
        self, method: str, classes: int, batch: int, precision: Precision
    ) -> tuple[Setting, Compute]:
        """A method with random weights and a random batch; class lists of a trial are short."""
        compute = Compute(self.device, precision)
        classes = min(classes, self.sized(classes, 8))
        return setting.setting(method, self.backbone, classes, batch, compute), compute

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
    """Median of the steps' times after two that warm up."""
    times = []
    for number in range(repeats + 2):
        synchronise(device)
        started = time.perf_counter()
        step()
        synchronise(device)
        if number > 1:
            times.append(1000 * (time.perf_counter() - started))
    return round(median(times), 2)


def precisions(bench: Bench) -> Iterator[Row]:
    """Every method at bf16 and fp16: does a step work, and how far are logits from float32's?"""
    for name in METHODS.names():
        logits: dict[str, Tensor] = {}
        for precision in ("fp32", "bf16", "fp16"):
            now, compute = bench.opened(name, 50, 8, precision)
            method = now.method.eval()
            prepared = evaluating(compute, method.prepare, method.classes)
            logits[precision] = evaluating(compute, method.logits, now.images, prepared).cpu()
            row: Row = {"method": name, "precision": precision}
            if precision != "fp32":
                gap = float((logits[precision] - logits["fp32"]).abs().max())
                largest = float(logits["fp32"].abs().max())  # 0 of a probe that is not solved
                row["gap"] = round(gap / largest, 5) if largest else gap
                row["flips"] = _flips(logits[precision], logits["fp32"])
            if any(p.requires_grad for p in method.parameters()):
                step = stepper(now, lambda now=now: ours(now), compute)
                row["step_ms"] = step_ms(step, bench.device, bench.sized(10, 1))
            yield row
        bench.forget()


def _flips(logits: Tensor, expected: Tensor) -> float:
    """Percent of predictions that differ."""
    return round(100 * float((logits.argmax(-1) != expected.argmax(-1)).float().mean()), 2)


def flips(bench: Bench) -> Iterator[Row]:
    """Predictions that flip against float32, with logits in float32 and as autocast has them."""
    batches = bench.sized(100, 1)
    for name in ("zeroshot", "alignednorm"):
        found: dict[str, list[Tensor]] = {}
        for precision in ("fp32", "bf16", "fp16"):
            now, compute = bench.opened(name, 100, 50, precision)
            method = now.method.eval()
            prepared = evaluating(compute, method.prepare, method.classes)
            stream = torch.Generator().manual_seed(1)
            for _ in range(batches):
                images = torch.randn(now.images.shape, generator=stream).to(bench.device)
                logits = evaluating(compute, method.logits, images, prepared).cpu()
                found.setdefault(precision, []).append(logits)
        expected = torch.cat(found.pop("fp32"))
        for precision, parts in found.items():
            logits = torch.cat(parts)
            rounded = logits.to(Compute(bench.device, precision).dtype)  # type: ignore[arg-type]
            yield {
                "method": name,
                "precision": precision,
                "images": len(logits),
                "flips": _flips(logits, expected),
                "flips_rounded": _flips(rounded, expected),
            }
        bench.forget()


def determinism(bench: Bench) -> Iterator[Row]:
    """The same steps three times, at last with the card filled: equal bits?"""
    for name in ("coop", "maple", "alignednorm"):
        for precision in ("fp32", "bf16"):
            ends = []
            for filled in (False, False, True):
                now, compute = bench.opened(name, 300, 4, precision)
                step = stepper(now, lambda now=now: ours(now), compute, lr=0.002)
                with _filled(bench, filled):
                    for _ in range(bench.sized(10, 2)):
                        step()
                state = b"".join(p.detach().cpu().numpy().tobytes() for p in _learned(now))
                ends.append(hashlib.sha256(state).hexdigest()[:16])
                del now, step
                bench.forget()
            twice, filled_too = ends[0] == ends[1], ends[0] == ends[2]
            yield {"method": name, "precision": precision, "twice": twice, "filled": filled_too}


def _learned(now: Setting) -> list[torch.nn.Parameter]:
    return [p for p in now.method.parameters() if p.requires_grad]


@contextmanager
def _filled(bench: Bench, filled: bool) -> Iterator[None]:
    """The card with 70 % of its free memory taken."""
    held = None
    if filled and bench.device.type == "cuda":
        free = memory.free(bench.device)
        held = torch.empty(int(0.7 * free), dtype=torch.uint8, device=bench.device)
    yield
    del held


def launches(bench: Bench) -> Iterator[Row]:
    """Kernels per step and the share of the time in which the device works, over 20 steps."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU]
    if bench.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    for name in ("coop", "maple", "alignednorm"):
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
        busy = sum(e.time_range.elapsed_us() for e in kernels) / 1e6
        yield {
            "method": name,
            "launches": round(len(kernels) / count),
            "busy": round(busy / seconds, 3),
            "step_ms_profiled": round(1000 * seconds / count, 2),
        }
        bench.forget()


def chunks(bench: Bench) -> Iterator[Row]:
    """Steps with class chunks given and not: time and peak memory."""
    for size in (None, 128, 16):
        now, compute = bench.opened("alignednorm", 500, 4, "bf16")
        now.towers.class_chunk = size
        step = stepper(now, lambda now=now: ours(now), compute)
        milliseconds = step_ms(step, bench.device, bench.sized(10, 1))
        yield {"chunk": size, "step_ms": milliseconds, "peak_mb": bench.peak_mb()}
        bench.forget()


def small_cards(bench: Bench) -> Iterator[Row]:
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


def compiled(bench: Bench) -> Iterator[Row]:
    """`--compile` over three class lists: the first step, later ones, and reserved memory."""
    for wanted in (False, True):
        for classes in (50, 100, 51):
            now, compute = bench.opened("maple", classes, 4, "bf16")
            if wanted:
                now.towers.compile(lambda message: print(message, flush=True))
            step = stepper(now, lambda now=now: ours(now), compute)
            started = time.perf_counter()
            step()
            synchronise(bench.device)
            first = time.perf_counter() - started
            later = step_ms(step, bench.device, bench.sized(10, 1))
            row = {"compiled": wanted, "classes": classes, "first_s": round(first, 2)}
            yield {**row, "step_ms": later, "reserved_mb": bench.reserved_mb()}
            now.towers.uncompile()
