"""CLIP zero-shot (Radford et al., arXiv 2103.00020): the dataset's template, no learning.

Logits are logit_scale * cos(f_v, f_t) of the frozen features. Paradigm: zero-shot. Data beyond the
few shots: none (not even those). It learns 0 parameters.
"""

from __future__ import annotations

from torch import Tensor

from promptbench.api import ClassSet, unit
from promptbench.methods._cosine import CosineMethod


class ZeroShot(CosineMethod):
    """Cosine similarity between image features and the features of the class prompts."""

    title = "CLIP (zero-shot)"
    paper = "arXiv 2103.00020"
    paradigm = "zero-shot"
    needs = ()
    vit_b16_parameters = 0
    equations_from = "the paper; code KaiyangZhou/CoOp@ff61507"
    equals = "reference code"

    def text_features(self, classes: ClassSet) -> Tensor:
        text = self.towers.text
        return unit(text.features(text.tokens(classes.prompts)))
