"""What is measured of numbers on a GPU, for `benchmarks.gpu`: errors, flips, equal bits."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import gpu_programs
from benchmarks.gpu_steps import Bench, Row, Rows, step_ms
from benchmarks.setting import Setting
from benchmarks.step import ours, stepper
from promptbench.core.registry import METHODS
from promptbench.models.deltas import Delta
from promptbench.models.towers import ImageTower, TextTower, Tokens, Towers, block, memory
from promptbench.models.towers.block import Block
from promptbench.models.towers.text import cast_of
from promptbench.running.lab.calling import evaluating
from promptbench.running.lab.compute import Compute


def precisions(bench: Bench) -> Rows:
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


def flips(bench: Bench) -> Rows:
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


def variants(bench: Bench) -> Rows:
    """Half precision as it is, with its residual streams rounded, and with QuickGELU's factor in
    the weights: errors against float32, time and memory of a step, images per second.

    Rounding is worth it where it saves more than its errors cost; a factor in the weights takes
    the MLP's first product back into the kernel that adds a bias.
    """
    for name in ("coop", "alignednorm"):
        for precision in ("bf16", "fp16"):
            expected = _logits(*bench.opened(name, 50, 50, "fp32"))
            for variant, change in (
                ("as it is", nullcontext),
                ("half", _half),
                ("folded", _folded),
            ):
                with change():
                    now, compute = bench.opened(name, 50, 50, precision)
                    logits = _logits(now, compute)
                    few = Setting(now.method, now.images[:4].clone(), now.labels[:4])
                    step = stepper(few, lambda few=few: ours(few), compute)
                    bench.forget()
                    row: Row = {"method": name, "precision": precision, "variant": variant}
                    row["step_ms"] = step_ms(step, bench.device, bench.sized(20, 1))
                    row["peak_mb"] = bench.peak_mb()
                    evaluation = partial(_logits, now, compute)
                    row["evaluation_ms"] = step_ms(evaluation, bench.device, bench.sized(10, 1))
                row["rms"] = float(f"{(logits - expected).square().mean().sqrt():.2e}")
                row["largest"] = float(f"{(logits - expected).abs().max():.2e}")
                yield {**row, "flips": _flips(logits, expected)}
                del now, few, step, evaluation
                bench.forget()


def _logits(now: Setting, compute: Compute) -> Tensor:
    """Logits of the setting's images, which are new to the towers; on the CPU."""
    method = now.method.eval()
    prepared = evaluating(compute, method.prepare, method.classes)
    logits: Tensor = evaluating(compute, method.logits, now.images.clone(), prepared)
    return logits.cpu()


@contextmanager
def _half() -> Iterator[None]:
    """Inside the block both towers' streams are in the dtype of autocast."""
    images, texts = ImageTower._embed, TextTower.tokens

    def embed(tower: ImageTower, batch: Tensor) -> Tensor:
        embedded = images(tower, batch)
        return embedded.to(cast_of(embedded.device) or embedded.dtype)

    def tokens(tower: TextTower, prompts: Sequence[str]) -> Tokens:
        found = texts(tower, prompts)
        if not found.entering:
            found._embedded = found.embedded.to(cast_of(found.embedded.device))
        return found

    with patch.object(ImageTower, "_embed", embed), patch.object(TextTower, "tokens", tokens):
        yield


@contextmanager
def _folded() -> Iterator[None]:
    """Inside the block casting writes 1.702 into the weights of the MLPs, which get a SiLU."""
    cast, mlp = Towers.cast, block._mlp

    def folding(towers: Towers, dtype: torch.dtype) -> None:
        for one in (*towers.text._blocks, *towers.image._blocks):
            one.fc.weight.data *= block._QUICK
            one.fc.bias.data *= block._QUICK
            one.proj.weight.data /= block._QUICK
        cast(towers, dtype)

    def folded(one: Block, x: Tensor, delta: Delta) -> Tensor:
        if one.fc.weight.dtype == torch.float32 or delta.fc or delta.proj:
            return mlp(one, x, delta)
        return F.linear(F.silu(one.fc(x)), one.proj.weight, one.proj.bias)

    with patch.object(Towers, "cast", folding), patch.object(block, "_mlp", folded):
        yield


_VARIANTS = {"as it is": nullcontext, "half": _half, "folded": _folded}


def determinism(bench: Bench) -> Rows:
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


# Another process that holds so many bytes of the card until its input ends.
_HOLDER = """
import sys, torch
held = torch.empty(int(sys.argv[1]), dtype=torch.uint8, device=sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def _filled(bench: Bench, filled: bool) -> Iterator[None]:
    """70 % of the card's free memory taken by another process."""
    if not filled:
        yield
        return
    size = int(0.7 * memory.free(bench.device)) if bench.device.type == "cuda" else 1
    command = [sys.executable, "-c", _HOLDER, str(size), str(bench.device)]
    holder = gpu_programs.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        if gpu_programs.line("another process on the card", holder, bench) != "held":
            raise RuntimeError(f"another process cannot take {size} bytes of the card")
        yield
    finally:
        gpu_programs.end([holder])
