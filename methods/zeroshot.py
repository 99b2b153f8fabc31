"""CLIP zero-shot (Radford et al., arXiv 2103.00020): the data set's template, no learning."""

from __future__ import annotations

import gin
from promptbench.methods._frozen_image import FrozenImageMethod
from torch import Tensor

from promptbench.method import ClassSet, unit


@gin.configurable
class ZeroShot(FrozenImageMethod):
    """Cosine similarity between image features and the features of the class prompts."""

    title = "CLIP (zero-shot)"
    paper = "arXiv 2103.00020"
    paradigm = "zero-shot"

    def prepare(self, classes: ClassSet) -> Tensor:
        """Normalised text features [n_classes, embed_dim]."""
        text = self.towers.text
        return unit(text.features(text.tokens(classes.prompts)))
