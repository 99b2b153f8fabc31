"""CLIP-Adapter (Gao et al., arXiv 2110.04544): a bottleneck on the image feature, blended with it.

x = RATIO relu(U relu(D f_v)) + (1 - RATIO) f_v, normalised; D [d/REDUCTION, d] and U have no bias.
Logits are logit_scale * cos(x, f_t) with the frozen features of the dataset's template, the loss
is their cross-entropy.

Rulings: the released file has no settings; optimiser and epochs are those of CoOp, whose framework
it was written for. RATIO is 0.2 everywhere, as in the code; the paper searches it per dataset and
has a second adapter, on the text, which the code has not.

Paradigm: feature space. Data beyond the few shots: none. It learns 131,072 parameters on ViT-B/16.
"""

from __future__ import annotations

from torch import Tensor

from promptbench.api import ClassSet, Count, Share, Towers, unit
from promptbench.methods._cosine import CosineMethod
from promptbench.methods._feature_space import FrozenText, adapted, bottleneck, image_features


class CLIPAdapter(CosineMethod):
    """A residual adapter on the image side.

    Args:
        ratio: weight of the adapter in the blend; the frozen feature has the rest.
        reduction: the bottleneck is this many times narrower than the feature.

    Raises:
        UserError: a bottleneck of no dimension.
    """

    title = "CLIP-Adapter"
    paper = "arXiv 2110.04544"
    paradigm = "feature space"
    needs = ()
    vit_b16_parameters = 131_072
    equations_from = "the paper; code gaopengcuhk/CLIP-Adapter@08d07f8"
    equals = "reference code"
    steady = True

    def __init__(
        self, towers: Towers, classes: ClassSet, *, ratio: Share = 0.2, reduction: Count = 4
    ) -> None:
        super().__init__(towers, classes)
        self.ratio = ratio
        self.frozen_text = FrozenText(towers, normalised=True)
        self.down, self.up = bottleneck(towers.embed_dim, reduction, "CLIPAdapter.reduction")

    def text_features(self, classes: ClassSet) -> Tensor:
        return self.frozen_text(classes)

    def image_features(self, images: Tensor) -> Tensor:
        frozen = image_features(self.towers, images)
        return unit(adapted(frozen, (self.down, self.up), self.ratio))
