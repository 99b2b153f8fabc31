"""Sending tensors to a device without waiting for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def sent(x: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; to a GPU from pinned memory, behind the work that the GPU has queued.

    What is on a device of that type already stays where it is.
    """
    if x.device.type == device.type:
        return x
    if device.type == "cuda":
        x = x.pin_memory()
    return x.to(device, non_blocking=True)


def sent_together(arrays: Sequence[NDArray[np.int32]], device: torch.device) -> list[Tensor]:
    """Many small arrays in one transfer, as int32 tensors of their shapes."""
    flat = torch.from_numpy(np.concatenate([array.ravel() for array in arrays]))
    pieces = sent(flat, device).split([array.size for array in arrays])
    return [piece.view(array.shape) for piece, array in zip(pieces, arrays, strict=True)]
