"""VPT-deep (Jia et al., arXiv 2203.12119) for CLIP, as in the code of MaPLe: only image prompts.

n tokens stand after the patches and are replaced by fresh ones before every block up to `depth`;
the classes keep the fixed prompt "a photo of a {name}.". The loss is the cross-entropy of
logit_scale * cos(f_v, f_t).

Paradigm: end-to-end. Data beyond the few shots: none. It learns 73,728 parameters on ViT-B/16
(8 tokens, 12 blocks).
"""

from __future__ import annotations

from torch import Tensor

from promptbench.api import ClassSet, Count, Edits, Towers, normal, unit
from promptbench.methods._context import prompted
from promptbench.methods._cosine import CosineMethod
from promptbench.methods._deep_prompts import image_prompt_edits


class VPT(CosineMethod):
    """Visual prompt tuning, deep.

    Args:
        n_ctx: image prompt tokens per block.
        depth: blocks that get prompts of their own.
        prompt: the fixed words before a class name.
    """

    title = "VPT-deep"
    paper = "arXiv 2203.12119"
    paradigm = "end-to-end"
    needs = ("image_blocks",)
    vit_b16_parameters = 73_728
    equations_from = "the paper; code muzairkhattak/multimodal-prompt-learning@69bce21"
    equals = "reference code"
    steady = True

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        n_ctx: Count = 8,
        depth: Count = 12,
        prompt: str = "a photo of a",
    ) -> None:
        super().__init__(towers, classes)
        self.prompt = prompt
        self.prompts = normal(depth, n_ctx, towers.image.width)

    def image_edits(self) -> Edits:
        return image_prompt_edits(self.prompts)

    def text_features(self, classes: ClassSet) -> Tensor:
        text = self.towers.text
        return unit(text.features(text.tokens(prompted(classes.words, 0, self.prompt))))
