"""How many sequences of a class list a prompted pass may keep activations of."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from promptbench.models.deltas import Delta
from promptbench.models.towers.layout import Layout

# Numbers per channel that backward keeps of a block.
_SUMS = 2  # from block to block, which stay float32 at any precision
_PRODUCTS = 8  # queries, keys, values, attention and the MLP's four
_COPIED = 2  # keys and values
_KEPT_BY_DELTAS = 1.5  # of each number that a function of a delta is given: a copy, or its dropout
_SHARE = 0.4  # of the device's memory; the rest is for weights, the image side and temporaries
_LEAST = 16  # sequences per chunk; smaller ones only cost time


def chunk(
    x: Tensor, layout: Layout, blocks_left: int, deltas: Collection[Delta], products: torch.dtype
) -> int | None:
    """How many of the sequences x [n, length, width] a training may keep activations of at a time,
    of all blocks that are left, whose products are of this dtype; None: of all."""
    room = total(x.device)
    if room is None:
        return None
    needed = kept_bytes(
        layout.rows, x.shape[-1], blocks_left, x.dtype, products, deltas, layout.copied
    )
    return fitting(layout.n, needed, room)


def total(device: torch.device) -> int | None:
    """Bytes of memory that a GPU has, whoever uses it; None: not a GPU, no chunks by themselves."""
    if device.type != "cuda":
        return None
    return int(torch.cuda.get_device_properties(device).total_memory)


def kept_bytes(
    rows: int,
    width: int,
    n_blocks: int,
    stream: torch.dtype,
    products: torch.dtype,
    deltas: Collection[Delta] = (),
    copied: int = 0,
) -> int:
    """Bytes that backward keeps of packed tokens [rows, width] over the blocks with gradient;
    `copied` are rows of keys and values that attention copies."""
    of_sums = rows * (_SUMS * n_blocks + sum(map(kept_by, deltas)))
    of_products = (rows * _PRODUCTS + copied * _COPIED) * n_blocks
    return int(width * (of_sums * stream.itemsize + of_products * products.itemsize))


def kept_by(delta: Delta) -> float:
    """Numbers per channel that backward keeps of a delta's functions, in a block with gradient; at
    most as wide as the sums."""
    functions = (delta.q, delta.k, delta.v, delta.out, delta.beside, delta.fc)
    given = sum(function is not None for function in functions) + 4 * (delta.proj is not None)
    return _KEPT_BY_DELTAS * given


def fitting(n: int, needed: int, room: int) -> int | None:
    """How many of n sequences that keep `needed` bytes fit the share of `room`; None: all do."""
    share = int(_SHARE * room)
    if needed <= share:
        return None
    most = max(n * share // needed, _LEAST)
    return None if most >= n else most


def free(device: torch.device) -> int:
    """Bytes of a GPU that the driver or the allocator's cache can still give."""
    unclaimed, _ = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return unclaimed + cached
