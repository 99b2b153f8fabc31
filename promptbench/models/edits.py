"""Edits of a token sequence: the vocabulary in which methods say what they do to a tower.

An edit takes the sequence [n, length, width] that is about to enter a block and returns the
sequence that enters it instead. Methods hand a tower a mapping from block number to edit (see
`promptbench.models.towers.Tower.run`). `tokens` are [k, width], the same for all n sequences, or
[n, k, width].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from promptbench.models.moves import Moves

Edit = Callable[[Tensor], Tensor]
Edits = Mapping[int, Edit]


@dataclass(frozen=True)
class Alike:
    """Mark an edit that leaves alike what is alike: where all sequences begin with the same tokens,
    they still do behind it, and tokens that it inserts stand among those, at the latest directly
    after the last of them. That must hold for every list of classes, also for texts that have only
    SOT in common.

    `Alike(partial(replace, tokens=context))` is one with a context [k, width] that all classes
    share. A causal text tower then computes the common opening of the texts once, not once per
    class, as far as edits are so marked; values and gradients stay what they are.
    """

    edit: Edit

    def __call__(self, sequence: Tensor) -> Tensor:
        return self.edit(sequence)


def _expanded(tokens: Tensor, sequence: Tensor) -> Tensor:
    if tokens.dim() == 2:
        tokens = tokens.unsqueeze(0)
    return tokens.to(sequence.dtype).expand(len(sequence), -1, -1)


def insert(sequence: Tensor, tokens: Tensor, at: int = 1) -> Tensor:
    """Insert k tokens before position `at` (1: right after SOT or CLS)."""
    return torch.cat([sequence[:, :at], _expanded(tokens, sequence), sequence[:, at:]], dim=1)


def replace(sequence: Tensor, tokens: Tensor, at: int = 1) -> Tensor:
    """Replace the k tokens from position `at` on."""
    new = _expanded(tokens, sequence)
    return torch.cat([sequence[:, :at], new, sequence[:, at + new.shape[1] :]], dim=1)


def mix(sequence: Tensor, tokens: Tensor, beta: float, at: int = 1) -> Tensor:
    """Replace the k tokens from `at` on by beta * tokens + (1 - beta) * what stood there."""
    new = _expanded(tokens, sequence)
    old = sequence[:, at : at + new.shape[1]]
    return replace(sequence, beta * new + (1 - beta) * old, at)


def append(sequence: Tensor, tokens: Tensor) -> Tensor:
    """Append k tokens to the end of the sequence."""
    return torch.cat([sequence, _expanded(tokens, sequence)], dim=1)


def replace_last(sequence: Tensor, tokens: Tensor) -> Tensor:
    """Replace the last k tokens of the sequence."""
    return append(sequence[:, : -tokens.shape[-2]], tokens)


def reorder(sequence: Tensor, order: Moves) -> Tensor:
    """Put tokens at other positions of their sequences: `order` moves all rows [n * length]."""
    return order(sequence.flatten(0, 1)).view_as(sequence)
