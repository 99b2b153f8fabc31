"""Byte-pair merges that make one token of every word of the world.

The full table of CLIP has 49,408 entries, which at this width would be most of the model.
"""

from __future__ import annotations

import gzip
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

Pair = tuple[str, str]


def merges(words: Iterable[str]) -> list[Pair]:
    """Merge the most frequent pair (ties: first in order) until every word is one symbol."""
    spellings = [(*word[:-1], f"{word[-1]}</w>") for word in words]
    found: list[Pair] = []
    while counts := Counter(pair for symbols in spellings for pair in _pairs(symbols)):
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        found.append(best)
        spellings = [_merged(symbols, best) for symbols in spellings]
    return found


def _pairs(symbols: Sequence[str]) -> Iterable[Pair]:
    return itertools.pairwise(symbols)


def _merged(symbols: Sequence[str], pair: Pair) -> tuple[str, ...]:
    merged: list[str] = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return tuple(merged)


def encoded(words: Iterable[str]) -> bytes:
    """The merges of `words` in the gzip format of CLIP's tokenizer, the same bytes every time."""
    lines = ["#version: promptbench-tiny", *(" ".join(pair) for pair in merges(words))]
    return gzip.compress("\n".join(lines).encode(), mtime=0)
