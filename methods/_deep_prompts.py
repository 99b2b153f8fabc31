"""Shared part: prompts of several blocks (VPT-deep, IVLP, MaPLe).

Prompts are [depth, n, width]: the first set enters with the input, set i replaces what block i - 1
put out at those positions; after the last set the tokens flow on. Text prompts stand at positions
1..n in place of words and get positional embeddings; image prompts stand after the patches, behind
the positional embedding and before ln_pre.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from promptbench.api import Edit, TextTower, edits, normal


def image_prompt_edits(prompts: Tensor) -> dict[int, Edit]:
    """Edits of the image tower."""
    table: dict[int, Edit] = {0: partial(edits.append, tokens=prompts[0])}
    for block, deeper in enumerate(prompts[1:], 2):
        table[block] = partial(edits.replace_last, tokens=deeper)
    return table


def text_prompt_edits(prompts: Tensor, at: int = 1) -> dict[int, Edit]:
    """Edits of the text tower; the prompts, which all texts share, stand from position `at` on."""
    blocks = [0, *range(2, len(prompts) + 1)]
    return {
        block: edits.Alike(partial(edits.replace, tokens=own, at=at))
        for block, own in zip(blocks, prompts, strict=True)
    }


def text_prompts(text: TextTower, depth: int, n: int, init: str) -> nn.Parameter:
    """Text prompts [depth, n, width]: the first from the first n tokens of `init`, where it has as
    many, the others (all, without `init`) from N(0, 0.02^2)."""
    prompts = normal(depth, n, text.width)
    if init:
        with torch.no_grad():
            prompts[0] = text.embed(init)[:n]
    return prompts


def usable_init(text: TextTower, n: int, init: str) -> str:
    """`init` where it has at least n tokens, else "" (as in the reference implementations)."""
    return init if init and len(text.encode(init)) >= n else ""
