"""How sequences of unequal length lie in memory: one row per token, no row for padding.

Everything but attention works token by token, so a tower computes on the tokens alone, `packed` as
[n_tokens, width]. Attention needs whole sequences; they are ordered by length and cut into groups,
so that each group is one contiguous block of rows that views as [count, length, width].
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Group:
    """`count` sequences that run together at `length` rows each."""

    count: int
    length: int


@dataclass(frozen=True)
class Reading:
    """Positions at which the last block's output is read, `per` of them in each sequence.

    `rows` [n * per] are their packed rows, in packed order; `order` [n] restores the order of the
    sequences (None: it is the same). `masks` say per group which keys a query may see, bool
    [count, 1, 1, length]; None: all of them, or with `causal` all up to its own.
    """

    rows: Tensor
    per: int
    order: Tensor | None
    masks: tuple[Tensor | None, ...]
    causal: bool


class Layout:
    """Sequences of the given `lengths`, packed, and the way from and to [n, padded, width].

    `overhead` is what a group costs, in tokens: short sequences join a longer group when that is
    cheaper than a group of their own. There are `most` groups, if it is given.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        padded: int,
        overhead: float,
        device: torch.device,
        most: int | None = None,
    ) -> None:
        self.n, self.padded = len(lengths), padded
        target = joined(lengths, overhead)
        while most is not None and len(set(target.values())) > most:
            overhead = max(2 * overhead, 1.0)
            target = joined(lengths, overhead)
        order = sorted(range(self.n), key=lambda i: target[lengths[i]])
        counts = Counter(target[length] for length in lengths)
        self.groups = tuple(Group(counts[length], length) for length in sorted(counts))
        self._lengths = torch.tensor([lengths[i] for i in order], device=device)
        self._order: Tensor | None = None
        if order != list(range(self.n)):
            self._order = torch.tensor(order, device=device).argsort()
        self._table: tuple[Tensor, Tensor, Tensor] | None = None
        if len(self.groups) > 1 or self.groups[0].length != padded:
            self._table = _tables(order, [target[lengths[i]] for i in order], padded, device)

    @property
    def rows(self) -> int:
        """Packed rows, with those by which short sequences of a group are padded."""
        return sum(group.count * group.length for group in self.groups)

    def pack(self, x: Tensor) -> Tensor:
        """[n, padded, width] -> [n_tokens, width]."""
        flat = x.reshape(-1, x.shape[-1])
        if self._table is None:
            return flat
        at, spread, beyond = self._table
        packed: Tensor = _Move.apply(flat, at, spread, beyond, None)
        return packed

    def unpack(self, packed: Tensor) -> Tensor:
        """[n_tokens, width] -> [n, padded, width], zero beyond a sequence's group."""
        if self._table is not None:
            at, spread, beyond = self._table
            packed = _Move.apply(packed, spread, at, None, beyond)
        return packed.view(self.n, self.padded, packed.shape[-1])

    def split(self, packed: Tensor) -> Sequence[Tensor]:
        """The packed rows of each group."""
        if len(self.groups) == 1:
            return (packed,)
        parts: Sequence[Tensor] = packed.split([g.count * g.length for g in self.groups])
        return parts

    def leading(self, per: int, causal: bool) -> Reading:
        """Reading of the first `per` positions of every sequence."""
        rows = self._starts().unsqueeze(1) + torch.arange(per, device=self._lengths.device)
        return Reading(rows.flatten(), per, self._order, (None,) * len(self.groups), causal)

    def last(self) -> Reading:
        """Reading of the last token of every sequence, which sees all of its own."""
        ends = self._starts() + self._lengths - 1
        masks: list[Tensor | None] = []
        for group, lengths in zip(
            self.groups, self._lengths.split([g.count for g in self.groups]), strict=True
        ):
            keys = torch.arange(group.length, device=lengths.device)
            seen = keys < lengths.view(-1, 1, 1, 1)
            masks.append(None if bool(seen.all()) else seen)
        return Reading(ends, 1, self._order, tuple(masks), causal=False)

    def _starts(self) -> Tensor:
        sizes = [g.length for g in self.groups for _ in range(g.count)]
        ends = torch.tensor(sizes, device=self._lengths.device).cumsum(0)
        return ends - torch.tensor(sizes, device=self._lengths.device)


def joined(lengths: Sequence[int], overhead: float) -> dict[int, int]:
    """The length at which sequences of each length run: the partition into groups of least cost.

    A group costs its tokens, padding included, plus `overhead`. Exact, by dynamic programming over
    the distinct lengths.
    """
    counts = Counter(lengths)
    distinct = sorted(counts)
    best: list[tuple[float, int]] = [(0.0, 0)]  # cost of the shortest i lengths, last group's start
    for end in range(1, len(distinct) + 1):
        options = []
        for start in range(end):
            members = sum(counts[length] for length in distinct[start:end])
            options.append((best[start][0] + members * distinct[end - 1] + overhead, start))
        best.append(min(options))
    target: dict[int, int] = {}
    end = len(distinct)
    while end:
        start = best[end][1]
        target |= dict.fromkeys(distinct[start:end], distinct[end - 1])
        end = start
    return target


def _tables(
    order: Sequence[int], lengths: Sequence[int], padded: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Packed row -> flat position, flat position -> packed row, flat positions that have none."""
    at = torch.cat(
        [
            torch.arange(sequence * padded, sequence * padded + length)
            for sequence, length in zip(order, lengths, strict=True)
        ]
    )
    spread = torch.zeros(len(order) * padded, dtype=torch.long)
    spread[at] = torch.arange(len(at))
    beyond = torch.ones(len(order) * padded, 1, dtype=torch.bool)
    beyond[at] = False
    return at.to(device), spread.to(device), beyond.to(device)


class _Move(torch.autograd.Function):
    """Rows moved by an index whose inverse is known: a gather in both directions, no atomics."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        index: Tensor,
        inverse: Tensor,
        dropped: Tensor | None,
        empty: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(inverse)
        ctx.dropped = dropped
        moved = x.index_select(0, index)
        return moved if empty is None else moved.masked_fill_(empty, 0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        (inverse,) = ctx.saved_tensors
        grad = grads[0].index_select(0, inverse)
        if ctx.dropped is not None:
            grad = grad.masked_fill_(ctx.dropped, 0)
        return grad, None, None, None, None
