"""How this process computes while it works on cells: threads, determinism, full float32."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_filling: Any = torch.utils.deterministic  # its setting is no attribute that mypy can see
_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # what cuBLAS asks for to be deterministic


@contextmanager
def restored() -> Iterator[None]:
    """Leave the settings of this process that `settle` changes as they were before the block."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = _filling.fill_uninitialized_memory
    tf32 = torch.backends.cudnn.allow_tf32
    workspace = os.environ.get(_WORKSPACE)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        _filling.fill_uninitialized_memory = fill
        torch.backends.cudnn.allow_tf32 = tf32
        if workspace is None:
            os.environ.pop(_WORKSPACE, None)
        else:
            os.environ[_WORKSPACE] = workspace


def settle(device: torch.device, threads: int | None) -> None:
    """Compute with so many CPU threads (None: as many as now), and on a GPU repeatably.

    Determinism is strict there: with `warn_only` the fused attention kernels keep a backward whose
    sums have no fixed order. Convolutions are in float32 where the precision says so: cuDNN would
    round their inputs to TF32's ten bits. That new tensors are filled with NaN is for finding
    errors; it costs a kernel for each.
    """
    if threads:
        torch.set_num_threads(threads)
    if device.type == "cuda":
        os.environ.setdefault(_WORKSPACE, ":4096:8")
        torch.use_deterministic_algorithms(True)
        _filling.fill_uninitialized_memory = False
        torch.backends.cudnn.allow_tf32 = False


@contextmanager
def not_deterministic() -> Iterator[None]:
    """Inside the block operations without a deterministic implementation run all the same."""
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True)
