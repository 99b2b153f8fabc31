"""MaPLe (Khattak et al., arXiv 2210.03117): multi-modal prompts, coupled from text to image.

Text block 1 sees n learnable tokens in place of the first words of "a photo of a {name}."; blocks 2
to `depth` get fresh ones P_i. The image tower's prompts of the same blocks are linear functions of
them, proj_i(P_i). The loss is the cross-entropy of logit_scale * cos(f_v, f_t).

Paradigm: end-to-end. Data beyond the few shots: none. It learns 3,555,072 parameters on ViT-B/16
(2 tokens, 9 blocks).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from promptbench.api import ClassSet, Count, Edits, Towers, unit
from promptbench.methods._context import prompted
from promptbench.methods._cosine import CosineMethod
from promptbench.methods._deep_prompts import (
    image_prompt_edits,
    text_prompt_edits,
    text_prompts,
    usable_init,
)


class MaPLe(CosineMethod):
    """Multi-modal prompt learning.

    Args:
        n_ctx: prompt tokens per block, in both towers.
        depth: blocks with prompts of their own.
        ctx_init: fixed words before a class name, whose first `n_ctx` initialise block 1; with
            fewer words than tokens (or "") the context is random and the words are placeholders.
    """

    title = "MaPLe"
    paper = "arXiv 2210.03117"
    paradigm = "end-to-end"
    needs = ("image_blocks", "text_embeddings", "text_blocks")
    vit_b16_parameters = 3_555_072
    equations_from = "the paper; code muzairkhattak/multimodal-prompt-learning@69bce21"
    equals = "reference code"
    steady = True

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        n_ctx: Count = 2,
        depth: Count = 9,
        ctx_init: str = "a photo of a",
    ) -> None:
        super().__init__(towers, classes)
        text, image = towers.text, towers.image
        self.ctx_init = usable_init(text, n_ctx, ctx_init)
        self.prompts = text_prompts(text, depth, n_ctx, self.ctx_init)
        # One map for the first block; the deeper ones start as copies of another.
        maps = [nn.Linear(text.width, image.width) for _ in range(2)]
        which = [maps[0], *[maps[1]] * (depth - 1)]
        self.weight = nn.Parameter(torch.stack([m.weight.detach() for m in which]))
        self.bias = nn.Parameter(torch.stack([m.bias.detach() for m in which]))

    def image_prompts(self) -> Tensor:
        """proj_i(P_i) of every prompted block, [depth, n_ctx, vision width]."""
        return self.prompts @ self.weight.mT + self.bias.unsqueeze(1)

    def image_edits(self) -> Edits:
        return image_prompt_edits(self.image_prompts())

    def raw_text_features(self, classes: ClassSet) -> Tensor:
        """Text features [n_classes, embed_dim], not normalised."""
        text, n_ctx = self.towers.text, self.prompts.shape[1]
        tokens = text.tokens(prompted(classes.words, n_ctx, self.ctx_init))
        return text.features(tokens, text_prompt_edits(self.prompts))

    def text_features(self, classes: ClassSet) -> Tensor:
        return unit(self.raw_text_features(classes))
