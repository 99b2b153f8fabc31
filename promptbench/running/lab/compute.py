"""Device and arithmetic: where a run computes and in which precision, and how batches get there."""

from __future__ import annotations

import functools
import platform
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor

from promptbench.data.images.levels import normalised
from promptbench.data.loader import Batch
from promptbench.data.shards.parallel import ahead
from promptbench.errors import UserError
from promptbench.planning.machine import Machine
from promptbench.support.safe_text import shortened
from promptbench.support.transfer import sent

Precision = Literal["fp32", "bf16", "fp16"]
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_NAMES = re.compile(r"cpu|cuda(:(0|[1-9][0-9]?))?")  # torch has names of more
_FIRST_SCALE = 128.0
_GRAPHS_OF_COMPILED = "torch._inductor.cudagraph_trees"
_BF16_SINCE = (8, 0)  # compute capability; older GPUs emulate bf16, several times slower


@dataclass(frozen=True)
class Compute:
    """A resolved device and precision; learnables and their optimiser are always float32."""

    device: torch.device
    precision: Precision

    @property
    def dtype(self) -> torch.dtype:
        """What matrix products compute in."""
        return _DTYPES.get(self.precision, torch.float32)

    @property
    def device_name(self) -> str:
        """The name of the GPU, or of the processor."""
        if self.device.type != "cuda":
            return processor()
        return torch.cuda.get_device_name(self.device)

    def placed(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Tensor, Tensor]]:
        """Batches with their images, normalised, and labels on the device.

        For a GPU they are pinned and sent one ahead, from a thread, while it computes: as levels of
        8 bits, which become numbers there.
        """
        if self.device.type != "cuda":
            for batch in batches:
                yield batch, batch.images, batch.labels
            return

        def place(batch: Batch) -> tuple[Batch, Tensor, Tensor]:
            with torch.cuda.device(self.device):  # a thread's own; pinned memory belongs to one
                images, labels = sent(batch.pixels, self.device), sent(batch.labels, self.device)
                if batch.target is not None:
                    images = normalised(images, batch.target)
                return batch, images, labels

        yield from ahead(place, batches, workers=1)

    def clock(self) -> float:
        """Seconds of a clock that is read once the device has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def begin_step(self) -> None:
        """Tell the CUDA graphs of compiled code that results of the step before are not needed any
        more.

        Where nothing was compiled there are none, and torch would import its compiler to hear it:
        seconds, and 116 MB.
        """
        if self.device.type == "cuda" and _GRAPHS_OF_COMPILED in sys.modules:
            torch.compiler.cudagraph_mark_step_begin()

    def autocast(self) -> AbstractContextManager[object]:
        """The autocast context of the precision (none for float32)."""
        dtype = _DTYPES.get(self.precision)
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)

    def scaler(self) -> torch.amp.GradScaler:
        """A gradient scaler, active for float16 only.

        Losses of cosines times 100 have large gradients: from torch's first scale of 65,536 the
        first steps overflow, and are lost to trainings that have few.
        """
        return torch.amp.GradScaler(
            self.device.type, init_scale=_FIRST_SCALE, enabled=self.precision == "fp16"
        )


def resolve(device: str, precision: str, several: bool = False) -> Compute:
    """Turn the options `--device` and `--precision` into a `Compute`.

    `several`: processes compute on all GPUs that are visible, unless the device is one of them.

    `auto` takes the first CUDA device if there is one, else the CPU; precision `auto` is bf16 on
    GPUs that compute in it (compute capability 8.0 and more), fp16 on older GPUs and fp32 on the
    CPU. It asks the chosen device, not the first one, and of several GPUs all.

    Raises:
        UserError: a device that is not there or a precision it cannot compute in.
    """
    chosen = _device(device)
    if precision == "auto":
        if chosen.type != "cuda":
            return Compute(chosen, "fp32")
        asked = [chosen]
        if several and chosen.index is None:
            asked = [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
        has_bf16 = all(torch.cuda.get_device_capability(gpu) >= _BF16_SINCE for gpu in asked)
        return Compute(chosen, "bf16" if has_bf16 else "fp16")
    return Compute(chosen, _precision(precision))


def of_machine(machine: Machine) -> Compute:
    """The `Compute` that a machine's options ask for, of all processes that are to compute here.

    Raises:
        UserError: as `resolve`.
    """
    several = max(machine.jobs, machine.per_gpu) > 1
    return resolve(machine.device, machine.precision, several)


def of_elsewhere(device: str, precision: str) -> Compute:
    """The `Compute` of cells that other machines compute; its device says only what was asked for.

    Raises:
        UserError: names that mean nothing, or a precision that depends on what those machines are.
    """
    if device != "auto" and _NAMES.fullmatch(device) is None:
        raise UserError(f"unknown device {shortened(device)!r}; known: auto, cpu, cuda or cuda:N")
    if precision == "auto" and device != "cpu":
        raise UserError(
            "which precision the workers' devices compute in cannot be seen from here, and "
            "numbers depend on it: add --precision bf16, fp16 or fp32 (or --device cpu)"
        )
    asked = "fp32" if precision == "auto" else _precision(precision)
    return Compute(torch.device("cpu" if device == "auto" else device), asked)


def _precision(name: str) -> Precision:
    if name not in ("fp32", *_DTYPES):
        raise UserError(f"unknown precision {name!r}; known: auto, fp32, bf16, fp16")
    return cast(Precision, name)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if _NAMES.fullmatch(name) is None:
        here = ["auto", "cpu"]
        if torch.cuda.is_available():
            here += ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        raise UserError(
            f"unknown device {shortened(name)!r}; promptbench computes on auto, cpu, cuda or "
            f"cuda:N, on this machine: {', '.join(here)}"
        )
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"device {name!r} is not available (`promptbench doctor` says why); use cpu"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"device {name!r} is not there; this machine has {torch.cuda.device_count()}"
        )
    return device


@functools.cache
def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
