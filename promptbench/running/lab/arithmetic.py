"""How this process computes while it works on cells: threads, determinism, full float32."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from promptbench.running.lab import float32

_filling: Any = torch.utils.deterministic  # its setting is not an attribute that mypy can see
_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # what cuBLAS asks for to be deterministic
_REPEATABLE = (":4096:8", ":16:8")
_OVERRIDE = "NVIDIA_TF32_OVERRIDE"  # stronger than what a program sets


@contextmanager
def restored() -> Iterator[None]:
    """Leave the settings of this process that `settle` changes as they were before the block."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = _filling.fill_uninitialized_memory
    benchmark = torch.backends.cudnn.benchmark
    device = torch.cuda.current_device() if torch.cuda.is_initialized() else 0
    environment = {name: os.environ.get(name) for name in (_WORKSPACE, _OVERRIDE)}
    try:
        with float32.restored():
            yield
    finally:
        torch.set_num_threads(threads)
        _deterministic_again(deterministic, warn_only)
        _filling.fill_uninitialized_memory = fill
        torch.backends.cudnn.benchmark = benchmark
        if torch.cuda.is_initialized():
            torch.cuda.set_device(device)
        for name, value in environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _deterministic_again(wanted: bool, warn_only: bool) -> None:
    """Set what is not so already: the setter imports torch's compiler."""
    now = torch.are_deterministic_algorithms_enabled()
    if (now, torch.is_deterministic_algorithms_warn_only_enabled()) != (wanted, warn_only):
        torch.use_deterministic_algorithms(wanted, warn_only=warn_only)


def settle(device: torch.device, threads: int | None) -> None:
    """Compute with so many CPU threads (None: as many as now), and on a GPU repeatably.

    Products of float32 are in float32 on any device, whatever the program or the environment
    allows. On a GPU determinism is strict: with `warn_only` the fused attention kernels keep a
    backward whose sums have no fixed order, and cuDNN must not choose algorithms by trying them.
    That new tensors are filled with NaN is for finding errors; it costs a kernel for each. The
    device becomes the current one, where events, pinned memory and graphs belong.
    """
    if threads:
        torch.set_num_threads(threads)
    if os.environ.get(_OVERRIDE, "0") != "0":
        os.environ[_OVERRIDE] = "0"
    float32.require_full()
    if device.type == "cuda":
        if os.environ.get(_WORKSPACE) not in _REPEATABLE:  # with others cuBLAS refuses its products
            os.environ[_WORKSPACE] = _REPEATABLE[0]
        torch.use_deterministic_algorithms(True)
        _filling.fill_uninitialized_memory = False
        torch.backends.cudnn.benchmark = False
        if device.index is not None:
            torch.cuda.set_device(device)


@contextmanager
def not_deterministic() -> Iterator[None]:
    """Inside the block operations without a deterministic implementation run all the same."""
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True)
