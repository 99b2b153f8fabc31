"""Deltas of a block: the vocabulary in which methods say how a block of a tower computes otherwise.

An edit (`promptbench.models.edits`) changes the tokens that enter a block; a delta changes what the
block makes of them, and leaves its frozen weights as they are. Methods hand a tower a mapping from
block number to `Delta` (see `promptbench.models.towers.Tower.features`).

The functions of a delta work token by token. They are given tokens [rows, d_in] of many sequences,
without padding, and return [rows, d_out], or [d_out] where they add the same to all. Which rows run
together is the tower's affair: in the last block some functions see only the tokens that are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from promptbench.errors import UserError

PerToken = Callable[[Tensor], Tensor]


class Affine(NamedTuple):
    """What is added to the learned scale and shift of a layer norm, [width] each (None: nothing).

    LN(x) = (x - mean) / std * (weight + scale) + (bias + shift)
    """

    scale: Tensor | None = None
    shift: Tensor | None = None


class Delta(NamedTuple):
    """What changes in one block; None leaves a part as it is.

    With x the tokens that enter the block, LN1 and LN2 its norms, W its frozen maps, `att` the
    attention of all heads and `act` the activation:

        n = LN1(x)                                      ln_1
        a = att(Wq n + q(n), Wk n + k(n), Wv n + v(n))  q, k, v
        y = x + Wo a + out(a)                           out
        m = LN2(y)                                      ln_2
        h = act(Wfc m + fc(m))                          fc
        block(x) = y + Wproj h + proj(h) + beside(n)    proj, beside

    Attributes:
        q, k, v: added to queries, keys and values, functions of n: width -> width, heads in a row.
        out: added to the attention's output map, a function of the heads' outputs: width -> width.
        fc: added before the activation of the MLP: width -> 4 width.
        proj: added to the MLP's output: 4 width -> width.
        ln_1, ln_2: added to scale and shift of the norms.
        beside: a branch beside the whole block, from its normed input to its output:
            width -> width.
    """

    q: PerToken | None = None
    k: PerToken | None = None
    v: PerToken | None = None
    out: PerToken | None = None
    fc: PerToken | None = None
    proj: PerToken | None = None
    ln_1: Affine | None = None
    ln_2: Affine | None = None
    beside: PerToken | None = None


Deltas = Mapping[int, Delta]

NONE = Delta()


def low_rank(down: Tensor, up: Tensor, scale: float = 1.0) -> PerToken:
    """The map x -> scale * up (down x), of down [r, d_in] and up [d_out, r] (LoRA, 2106.09685)."""
    return partial(_low_rank, down=down, up=up, scale=scale)


def _low_rank(x: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    inner = F.linear(x, down)
    return F.linear(inner if scale == 1.0 else scale * inner, up)


def plus(product: Tensor, addition: PerToken | None, given: Tensor, what: str) -> Tensor:
    """`product` [rows, d_out] and what an addition makes of the rows given, in the product's dtype.

    Raises:
        UserError: the addition returns another shape.
    """
    if addition is None:
        return product
    return product + fitting(addition(given), product, what).to(product.dtype)


def fitting(added: Tensor, product: Tensor, what: str) -> Tensor:
    """What is to be added to `product`, if it can be.

    Raises:
        UserError: it has another shape.
    """
    if added.shape not in (product.shape, product.shape[-1:]):
        raise UserError(
            f"a delta's {what} returns {list(added.shape)} for tokens that make "
            f"{list(product.shape)}: it works token by token, and returns {product.shape[-1]} "
            "numbers for each"
        )
    return added
