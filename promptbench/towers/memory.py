"""How many sequences of a class list a prompted pass may keep activations of."""

from __future__ import annotations

import torch
from torch import Tensor

_KEPT = 14  # tensors of [n, length, width] that backward keeps of a block
_SHARE = 0.5  # of the free memory; the rest is for the image side and for temporaries
_LEAST = 16  # sequences per chunk; smaller ones only cost time


def chunk(asked: int | None, x: Tensor, n_blocks: int) -> int:
    """Sequences per chunk of a pass over x [n, length, width]; n when they need no chunks.

    `asked` decides where it is given. Otherwise a pass with gradient on a GPU is cut when keeping
    the activations of all blocks would take more than half of the free memory.
    """
    n = len(x)
    if asked is not None:
        return min(max(asked, 1), n)
    if x.device.type != "cuda" or not torch.is_grad_enabled() or not x.requires_grad:
        return n
    return fitting(n, x.shape[1] * x.shape[2] * x.element_size() * _KEPT * n_blocks, free(x.device))


def fitting(n: int, bytes_each: int, free: int) -> int:
    """How many of n sequences, each keeping `bytes_each` for backward, fit the share of `free`."""
    return min(n, max(int(_SHARE * free) // bytes_each, _LEAST))


def free(device: torch.device) -> int:
    """Bytes of a GPU that the driver or the allocator's cache can still give."""
    unclaimed, _ = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return unclaimed + cached
