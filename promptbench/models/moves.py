"""Rows of a tensor that move to distinct places: a gather on the way there and on the way back.

The gradient of torch's own `index_select`, `gather` and indexing adds rows up, since one may have
been taken twice; a GPU sorts the index to do that repeatably, at every step. Where no row is taken
twice, the way back is known beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from promptbench.support.transfer import sent


@dataclass(frozen=True)
class Moves:
    """Which row of a tensor [rows, width] becomes which row of another one, and the way back.

    `index` [new rows] says where each comes from and `inverse` [rows] where each goes to, both
    int64; `dropped` [rows, 1] are rows that go nowhere and `empty` [new rows, 1] new rows that come
    from nowhere, which are zero (None: there are none).
    """

    index: Tensor
    inverse: Tensor
    dropped: Tensor | None
    empty: Tensor | None

    @classmethod
    def of(cls, taken: Sequence[int], rows: int, device: torch.device) -> Self:
        """New row i is row `taken[i]` of `rows` rows; the tables are made on the host, and sent.

        Raises:
            ValueError: no row, a row that does not exist, or one that is taken twice.
        """
        index = np.asarray(taken, dtype=np.int64)
        if not len(index):
            raise ValueError("no row is taken")
        if not 0 <= index.min() <= index.max() < rows:
            raise ValueError(f"rows from {index.min()} to {index.max()} of a tensor of {rows}")
        inverse, dropped = np.zeros(rows, dtype=np.int64), np.ones((rows, 1), dtype=np.bool_)
        inverse[index], dropped[index] = np.arange(len(index)), False
        if dropped.sum() + len(index) != rows:
            raise ValueError("a row is taken twice; moves are of distinct rows")
        with torch.inference_mode(False):  # training may use what evaluation has made
            there, back, none = (
                sent(torch.from_numpy(table), device) for table in (index, inverse, dropped)
            )
        return cls(there, back, none if len(index) < rows else None, None)

    @property
    def back(self) -> Moves:
        """The way back; rows that went nowhere are zero."""
        return Moves(self.inverse, self.index, self.empty, self.dropped)

    def __call__(self, x: Tensor) -> Tensor:
        """The new rows [new rows, width] of x [rows, width]."""
        moved: Tensor = _Move.apply(x, self.index, self.inverse, self.dropped, self.empty)
        return moved


class _Move(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        index: Tensor,
        inverse: Tensor,
        dropped: Tensor | None,
        empty: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(inverse, dropped)
        return _gathered(x, index, empty)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        inverse, dropped = ctx.saved_tensors
        return _gathered(grads[0], inverse, dropped), None, None, None, None


def _gathered(x: Tensor, index: Tensor, empty: Tensor | None) -> Tensor:
    moved = x.index_select(0, index)
    return moved if empty is None else moved.masked_fill_(empty, 0)
