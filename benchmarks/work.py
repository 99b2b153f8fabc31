"""Counted work of a step: what a path computes, in token-blocks, and the machine's matmul rate.

A token-block is one token through the twelve width x width products of a block (queries, keys,
values, output, and eight of the MLP), forward or backward: 24 width^2 floating-point operations.
Attention's own products, norms and activations are not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from promptbench.models.deltas import Deltas
from promptbench.models.towers import Towers
from promptbench.models.towers.tokens import Capture, Read, Tokens
from promptbench.models.towers.tower import Tower

_LAST = 10 / 12  # share of a block that is computed only at the positions read


class Counter:
    """Counts the token-blocks of our path while a step runs, by looking at what the towers run.

    Text token-blocks are weighed by the squared ratio of the widths; `total` is in token-blocks of
    the image tower.
    """

    def __init__(self, towers: Towers) -> None:
        self._towers, self.total = towers, 0.0
        self._passes = {tower: tower._pass for tower in (towers.text, towers.image)}

    def __enter__(self) -> Counter:
        for tower, original in self._passes.items():
            # Replaced for the length of the count: the work is counted where it is done.
            tower._pass = self._counting(tower, original)  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        for tower in self._passes:
            del tower._pass

    def _counting(self, tower: Tower, original: Callable[..., Tensor]) -> Callable[..., Tensor]:
        weight = (tower.width / self._towers.image.width) ** 2

        def counted(
            x: Tensor,
            tokens: Tokens,
            numbers: range,
            read: Read | None = None,
            capture: Capture | None = None,
            frozen: bool = False,
            deltas: Deltas | None = None,
            alike: bool = False,
        ) -> Tensor:
            layout = tokens.layout(x.shape[1], 0, len(x), alike=alike)
            rows = layout.rows
            done = float(rows * len(numbers))
            if read and numbers:
                done -= _LAST * (rows - len(x) * (read.leading or 1))
            learning = torch.is_grad_enabled() and (x.requires_grad or bool(deltas))
            self.total += done * weight * (2 if learning else 1)
            return original(x, tokens, numbers, read, capture, frozen, deltas, alike)

        return counted


def matmul_rate(device: torch.device, dtype: torch.dtype, width: int, rows: int = 4096) -> float:
    """Floating-point operations per second of the MLP's product, the best of ten."""
    x = torch.randn(rows, width, device=device, dtype=dtype)
    w = torch.randn(width, 4 * width, device=device, dtype=dtype)
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    best = float("inf")
    for _ in range(10):
        synchronise(device)
        started = clock()
        x @ w
        synchronise(device)
        best = min(best, clock() - started)
    return 2 * rows * width * 4 * width / best


def synchronise(device: torch.device) -> None:
    """Wait for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
