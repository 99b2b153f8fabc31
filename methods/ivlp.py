"""IVLP, independent vision-language prompts (baseline of MaPLe, arXiv 2210.03117, Sec. 3.2).

Deep image prompts as in VPT and deep text prompts, learned side by side without a coupling: text
block 1 sees learnable tokens in place of the first words of "a photo of a {name}.", blocks 2 to
`depth_text` get fresh ones at the same positions. The loss is the cross-entropy of
logit_scale * cos(f_v, f_t).

Paradigm: end-to-end. Data beyond the few shots: none. It learns 30,720 parameters on ViT-B/16
(2 + 2 tokens, 12 blocks).
"""

from __future__ import annotations

from torch import Tensor

from promptbench.api import ClassSet, Count, CountOrZero, Edits, Towers, normal, unit
from promptbench.methods._context import prompted
from promptbench.methods._cosine import CosineMethod
from promptbench.methods._deep_prompts import (
    image_prompt_edits,
    text_prompt_edits,
    text_prompts,
    usable_init,
)


class IVLPNetwork(CosineMethod):
    """Prompts in both towers.

    Args:
        n_ctx_image: image prompt tokens per block.
        n_ctx_text: text prompt tokens per block.
        depth_image: image blocks with prompts of their own.
        depth_text: text blocks with prompts of their own.
        ctx_init: fixed words before a class name, whose first `n_ctx_text` initialise block 1; with
            fewer words than tokens (or "") the context is random and the words are placeholders.
    """

    needs = ("image_blocks", "text_embeddings", "text_blocks")
    steady = True

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        n_ctx_image: Count = 2,
        n_ctx_text: CountOrZero = 2,
        depth_image: Count = 12,
        depth_text: Count = 12,
        ctx_init: str = "a photo of a",
    ) -> None:
        super().__init__(towers, classes)
        self.ctx_init = usable_init(towers.text, n_ctx_text, ctx_init)
        self.text_prompts = text_prompts(towers.text, depth_text, n_ctx_text, self.ctx_init)
        self.image_prompts = normal(depth_image, n_ctx_image, towers.image.width)

    def image_edits(self) -> Edits:
        return image_prompt_edits(self.image_prompts)

    def text_features(self, classes: ClassSet) -> Tensor:
        text, n_ctx = self.towers.text, self.text_prompts.shape[1]
        tokens = text.tokens(prompted(classes.words, n_ctx, self.ctx_init))
        return unit(text.features(tokens, text_prompt_edits(self.text_prompts)))


class IVLP(IVLPNetwork):
    """IVLP; its parameters are those of `IVLPNetwork`."""

    title = "IVLP"
    paper = "arXiv 2210.03117"
    paradigm = "end-to-end"
    vit_b16_parameters = 30_720
    equations_from = "MaPLe's Sec. 3.2; code muzairkhattak/multimodal-prompt-learning@69bce21"
    equals = "reference code"
