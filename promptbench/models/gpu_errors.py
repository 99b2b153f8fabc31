"""What errors of a GPU mean: its memory does not suffice, or it does not answer any more.

torch gives only a part of them a type. After a fault in a kernel every later call fails in
the same process, whatever it asks for; what runs out of memory outside torch's allocator says so in
words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from promptbench.errors import RunError

_FULL = re.compile(
    r"\b(CUDA|HIP)( driver)? error: out of memory"  # also of pinned memory
    r"|Triton Error \[\w+\]: out of memory"
    r"|(CUBLAS|CUDNN|CUSOLVER|CUSPARSE|CUFFT)\w*_ALLOC(ATION)?_FAILED"
    r"|CUSPARSE_STATUS_INSUFFICIENT_RESOURCES"
    r"|CUBLAS_STATUS_NOT_INITIALIZED when calling .?cublas(Lt)?Create"  # no room for its workspace
    r"|CUSOLVER_STATUS_NOT_INITIALIZED,? when calling .?cusolver\w*Create"
)


_BUSY = re.compile(
    r"all (CUDA|HIP)-capable devices are busy or unavailable"
    r"|(CUDA|HIP)-capable device\(s\) is/are busy"
)


class GpuFull(RunError):
    """The GPU has no room for one process more."""


class GpuLost(RunError):
    """The GPU answers this process no more; another process may go on.

    Made of the label of the cell that was computed, and of what happened.
    """

    remedy = (
        "the cell is not counted as failed: run the same command again and it goes on. Where the "
        "same cell ends it each time, --jobs 2 leaves that cell alone after two tries"
    )

    @property
    def reason(self) -> str:
        """What happened."""
        return str(self.args[1])

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.reason}; {self.remedy}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the GPU's memory, or pinned memory, does not suffice."""
    return any(
        isinstance(each, torch.cuda.OutOfMemoryError)
        or (isinstance(each, RuntimeError) and _FULL.search(str(each)) is not None)
        for each in _chain(error, raised_during=False)
    )


def is_lost(device: torch.device) -> bool:
    """Whether a GPU fails whatever it is asked; to be called after an error."""
    if device.type != "cuda":
        return False
    try:
        torch.cuda.synchronize(device)
        stands = torch.cuda.get_rng_state(device)
        torch.rand(1, device=device).add_(1).item()  # the generator can be lost by itself
        torch.cuda.set_rng_state(stands, device)
    except RuntimeError as error:
        return not is_out_of_memory(error)
    return False


@contextmanager
def beginning_on(device: torch.device) -> Iterator[None]:
    """Say of what a GPU raises in the block, in which a process begins to use it, what it means.

    Raises:
        GpuFull: others have its memory, or it is another process's only.
        GpuLost: it fails whatever it is asked.
    """
    try:
        yield
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        if is_out_of_memory(error) or _BUSY.search(str(error)):
            raise GpuFull(
                f"the GPU {device} has no room for the backbone of this process ({reason}): free "
                "it, compute in fewer processes (--jobs, --per-gpu) or on another --device"
            ) from error
        if is_lost(device):
            raise GpuLost(
                "loading the backbone", f"the GPU {device} does not answer this process ({reason})"
            ) from error
        raise


def lost_behind(error: BaseException) -> GpuLost | None:
    """The loss of a GPU that an error came after: leaving a block can ask the GPU once more."""
    return next(
        (each for each in _chain(error, raised_during=True) if isinstance(each, GpuLost)), None
    )


def _chain(error: BaseException, *, raised_during: bool) -> Iterator[BaseException]:
    """An error, and what it was raised from, or also what was handled when it was raised."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (current.__context__ if raised_during else None)
