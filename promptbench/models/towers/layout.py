"""How sequences of unequal length lie in memory: one row per token, no row for padding.

Everything but attention works token by token, so a tower computes only on the tokens, `packed` as
[n_tokens, width]. Attention needs whole sequences; they are ordered by length and cut into groups,
so that each group is one contiguous block of rows that views as [count, length, width]. Tokens with
which all sequences begin may lie there once, before the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from promptbench.models.moves import Moves
from promptbench.support.transfer import sent


@dataclass(frozen=True)
class Group:
    """`count` sequences that run together at `length` rows each."""

    count: int
    length: int


@dataclass(frozen=True)
class Reading:
    """Positions at which the last block's output is read, `per` of them in each sequence.

    `moves` takes packed rows to those read, in packed order; `order` restores the order of the
    sequences, as moves of rows [n] (None: it is the same). `masks` say per group which keys a query
    may see, bool [count, 1, 1, length]; None: all of them, or with `causal` all up to its own.
    """

    moves: Moves
    per: int
    order: Moves | None
    masks: tuple[Tensor | None, ...]
    causal: bool

    def ordered(self, read: Tensor) -> Tensor:
        """Rows read [n * per, width] as [n, per, width], in the order of the sequences."""
        sequences = read.view(-1, self.per * read.shape[-1])
        if self.order is not None:
            sequences = self.order(sequences)
        return sequences.view(-1, self.per, read.shape[-1])


class Layout:
    """Sequences of the given `lengths`, packed, and the way from and to [n, padded, width].

    `overhead` is what a group costs, in tokens: short sequences join a longer group when that is
    cheaper than a group of their own. There are `most` groups, if it is given. `ends` are the
    places that `last` reads, where these are not the last tokens. Of the first `opening` tokens,
    which are the same in all sequences, those of the first sequence stand for all, unless that
    saves less than it costs. Tables are made on the host, which knows all lengths, at the latest at
    their first use; a GPU is never waited for.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        padded: int,
        overhead: float,
        device: torch.device,
        most: int | None = None,
        ends: Sequence[int] | None = None,
        opening: int = 0,
    ) -> None:
        self.n, self.padded = len(lengths), padded
        self.opening = opening if (self.n - 1) * opening > overhead else 0
        lengths = [length - self.opening for length in lengths]
        ends = [end - self.opening for end in ends] if ends else None
        target = joined(lengths, overhead)
        while most is not None and len(set(target.values())) > most:
            overhead = max(2 * overhead, 1.0)
            target = joined(lengths, overhead)
        order = sorted(range(self.n), key=lambda i: target[lengths[i]])
        counts = Counter(target[length] for length in lengths)
        self.groups = tuple(Group(counts[length], length) for length in sorted(counts))
        self._device = device
        self._lengths = [lengths[i] for i in order]
        self._ends = [ends[i] if ends else lengths[i] - 1 for i in order]
        sizes = [target[length] for length in self._lengths]
        # The packed row of each sequence's first token of its own.
        self._starts = list(accumulate(sizes, initial=self.opening))[:-1]
        self._order: Moves | None = None
        if order != list(range(self.n)):
            self._order = Moves.of(order, self.n, device).back
        self._packing: Moves | None = None
        if self.opening or len(self.groups) > 1 or self.groups[0].length != padded:
            spans = zip([i * padded + self.opening for i in order], sizes, strict=True)
            own = [first + place for first, size in spans for place in range(size)]
            taken = [*range(self.opening), *own]
            self._packing = Moves.of(taken, self.n * padded, device)
        # Behind an opening, which keys the queries of a group see, bool [length, opening + length].
        self.sights = tuple(map(self._sight, self.groups)) if self.opening else ()
        self._readings: dict[tuple[int, bool] | None, Reading] = {}

    @property
    def rows(self) -> int:
        """Packed rows, with those by which short sequences of a group are padded."""
        return self.opening + sum(group.count * group.length for group in self.groups)

    @property
    def copied(self) -> int:
        """Rows of keys, and of values, that are put together behind an opening."""
        return self.rows - self.opening + self.n * self.opening if self.opening else 0

    def pack(self, x: Tensor) -> Tensor:
        """[n, padded, width] -> [n_tokens, width]."""
        flat = x.reshape(-1, x.shape[-1])
        return flat if self._packing is None else self._packing(flat)

    def unpack(self, packed: Tensor) -> Tensor:
        """[n_tokens, width] -> [n, padded, width], zero beyond a sequence's group."""
        if self._packing is not None:
            packed = self._packing.back(packed)
        x = packed.view(self.n, self.padded, packed.shape[-1])
        if not self.opening:
            return x
        everyones = x[:1, : self.opening].expand(self.n, -1, -1)
        return torch.cat([everyones, x[:, self.opening :]], dim=1)

    def split(self, packed: Tensor) -> Sequence[Tensor]:
        """The packed rows of the opening, if there is one, and of each group."""
        sizes = [g.count * g.length for g in self.groups]
        if self.opening:
            sizes.insert(0, self.opening)
        if len(sizes) == 1:
            return (packed,)
        parts: Sequence[Tensor] = packed.split(sizes)
        return parts

    def _sight(self, group: Group) -> Tensor:
        with torch.inference_mode(False):
            return sent(self._seen_from(torch.arange(group.length)[:, None], group), self._device)

    def _seen_from(self, last: Tensor, group: Group) -> Tensor:
        """The opening and own tokens up to the place `last`, of all keys of a group."""
        return torch.arange(-self.opening, group.length) <= last

    def leading(self, per: int, causal: bool) -> Reading:
        """Reading of the first `per` positions of every sequence."""
        if (per, causal) not in self._readings:
            taken = [start + place for start in self._starts for place in range(per)]
            moves = Moves.of(taken, self.rows, self._device)
            masks = (None,) * len(self.groups)
            self._readings[per, causal] = Reading(moves, per, self._order, masks, causal)
        return self._readings[per, causal]

    def last(self) -> Reading:
        """Reading of one token of every sequence, the last or that of `ends`, which sees all of its
        own."""
        if None not in self._readings:
            spans = zip(self._starts, self._ends, strict=True)
            taken = [start + end for start, end in spans]
            moves = Moves.of(taken, self.rows, self._device)
            self._readings[None] = Reading(moves, 1, self._order, self._masks(), causal=False)
        return self._readings[None]

    def _masks(self) -> tuple[Tensor | None, ...]:
        """Per group which tokens are a sequence's own; None where all are."""
        masks: list[Tensor | None] = []
        first = 0
        for group in self.groups:
            lengths = self._lengths[first : first + group.count]
            first += group.count
            if min(lengths) == group.length:
                masks.append(None)
                continue
            with torch.inference_mode(False):
                own = self._seen_from(torch.tensor(lengths).view(-1, 1, 1, 1) - 1, group)
                masks.append(sent(own, self._device))
        return tuple(masks)


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
