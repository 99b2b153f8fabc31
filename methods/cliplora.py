"""CLIP-LoRA (Zanella and Ben Ayed, arXiv 2405.18541): low-rank deltas of attention in both towers.

In every block the maps of queries, keys and values become

    W x + b + gamma * B A x~,   gamma = alpha / sqrt(r),

with W and b frozen, A [r, width] and B [width, r] learned, B = 0 at the start, and x~ = x after a
dropout of its own for each map, which the frozen branch does not see. The loss is the cross-entropy
of 100 cos(f_v, f_t) (a constant 100, not the pretrained scale) over the prompts "a photo of a
{name}." of all classes, encoded again in every step.

Where code and paper, or the code and this suite, differ: gamma is alpha / sqrt(r) as in the code,
not alpha / r. The gradient is that of the equations at any dropout; the released layers with
dropout 0 take back W + gamma B A before the backward pass, so that their gradients are wrong there.
Evaluation computes the low-rank maps instead of writing them into W: the frozen towers belong to
all. One prompt serves all datasets, as in the code.

Paradigm: end-to-end. Data beyond the few shots: none (the code draws validation images that it
never uses). It learns 184,320 parameters on ViT-B/16 (r = 2; q, k and v of all blocks).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from promptbench.api import (
    ClassSet,
    Count,
    Delta,
    Deltas,
    Share,
    Towers,
    Weight,
    deltas,
    full_precision,
    unit,
)
from promptbench.methods._context import prompted
from promptbench.methods._cosine import CosineMethod

Map = Literal["q", "k", "v", "out", "fc", "proj"]
Side = Literal["text", "image"]
Maps = Annotated[Sequence[Map], Field(min_length=1)]
Blocks = Annotated[Sequence[Count], Field(min_length=1)]
Sides = Annotated[Sequence[Side], Field(min_length=1)]
LOGIT_SCALE = 100.0  # fixed in the code
_SIZES = {"fc": (1, 4), "proj": (4, 1)}  # of input and output, in widths


class LowRank(nn.Module):
    """A [r, d_in] and B [d_out, r] of each block and map of one tower; names are "6_q"."""

    def __init__(self, width: int, blocks: Sequence[int], maps: Sequence[Map], rank: int) -> None:
        super().__init__()
        self.places = tuple((block, name) for block in blocks for name in maps)
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        for block, name in self.places:
            wide, high = _SIZES.get(name, (1, 1))
            a = torch.empty(rank, wide * width)
            nn.init.kaiming_uniform_(a, a=math.sqrt(5))
            self.down[f"{block}_{name}"] = nn.Parameter(a)
            self.up[f"{block}_{name}"] = nn.Parameter(torch.zeros(high * width, rank))

    def deltas(self, scale: float, dropout: float) -> dict[int, Delta]:
        """The deltas of the tower."""
        table: dict[int, Delta] = {}
        for block, name in self.places:
            key = f"{block}_{name}"
            low_rank = deltas.low_rank(self.down[key], self.up[key], scale)
            own: dict[str, Any] = {name: partial(_thinned, function=low_rank, dropout=dropout)}
            table[block] = table.get(block, Delta())._replace(**own)
        return table


def _thinned(x: Tensor, function: deltas.PerToken, dropout: float) -> Tensor:
    return function(F.dropout(x, dropout) if dropout else x)


class CLIPLoRA(CosineMethod):
    """Low-rank adaptation of both towers.

    Args:
        rank: r.
        alpha: gamma = alpha / sqrt(r).
        dropout: rate p of the low-rank branches' input, in training.
        maps: the maps of a block that are adapted.
        blocks: the blocks that are adapted, counted from 1.
        sides: the towers that are adapted.
        prompt: the fixed words before a class name.
    """

    title = "CLIP-LoRA"
    paper = "arXiv 2405.18541"
    paradigm = "end-to-end"
    needs = ("image_blocks", "text_blocks")
    vit_b16_parameters = 184_320
    equations_from = "the paper; code MaxZanella/CLIP-LoRA@358f0d7"
    equals = "reference code"
    steady = True

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        rank: Count = 2,
        alpha: Weight = 1.0,
        dropout: Share = 0.25,
        maps: Maps = ("q", "k", "v"),
        blocks: Blocks = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
        sides: Sides = ("text", "image"),
        prompt: str = "a photo of a",
    ) -> None:
        super().__init__(towers, classes)
        self.scale, self.dropout, self.prompt = alpha / math.sqrt(rank), dropout, prompt
        widths = {"text": towers.text.width, "image": towers.image.width}
        self.low_rank = nn.ModuleDict(
            {side: LowRank(widths[side], blocks, maps, rank) for side in sides}
        )

    @classmethod
    def needs_with(cls, parameters: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(f"{side}_blocks" for side in parameters["sides"])

    def _deltas(self, side: Side) -> Deltas | None:
        if side not in self.low_rank:
            return None
        low_rank: Any = self.low_rank[side]
        found: Deltas = low_rank.deltas(self.scale, self.dropout if self.training else 0.0)
        return found

    def image_deltas(self) -> Deltas | None:
        return self._deltas("image")

    def text_features(self, classes: ClassSet) -> Tensor:
        text = self.towers.text
        prompts = text.tokens(prompted(classes.words, 0, self.prompt))
        return unit(text.features(prompts, deltas=self._deltas("text")))

    def cosine_logits(self, image: Tensor, text: Tensor) -> Tensor:
        with full_precision(image):
            return LOGIT_SCALE * image @ text.T
