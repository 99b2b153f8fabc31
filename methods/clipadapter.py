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

from torch import Tensor, nn

from promptbench.api import ClassSet, Count, Share, Towers, UserError, unit
from promptbench.methods._cosine import CosineMethod
from promptbench.methods._feature_space import FrozenText, image_features


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

    def __init__(
        self, towers: Towers, classes: ClassSet, *, ratio: Share = 0.2, reduction: Count = 4
    ) -> None:
        super().__init__(towers, classes)
        width = towers.embed_dim
        if reduction > width:
            raise UserError(
                f"CLIPAdapter.reduction = {reduction} leaves nothing of the {width} dimensions "
                "of image features"
            )
        self.ratio = ratio
        self.frozen_text = FrozenText(towers, normalised=True)
        self.down = nn.Linear(width, width // reduction, bias=False)
        self.up = nn.Linear(width // reduction, width, bias=False)

    def text_features(self, classes: ClassSet) -> Tensor:
        return self.frozen_text(classes)

    def image_features(self, images: Tensor) -> Tensor:
        frozen = image_features(self.towers, images)
        adapted = self.up(self.down(frozen).relu()).relu()
        return unit(self.ratio * adapted + (1 - self.ratio) * frozen)
