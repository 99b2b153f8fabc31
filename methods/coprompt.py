"""CoPrompt (Roy and Etemad, arXiv 2306.01195): MaPLe held to the frozen model, with adapters.

The prompts are MaPLe's. On the projected feature f of each side, before it is normalised, stands an
adapter a(f) = relu(U relu(D f)), D [d/4, d] and U without bias; logits are logit_scale * cos(g_v,
g_t) with

    g = unit(m a(f) + (1 - m) f),   m = 0.1 for images and 0.2 for texts.

The loss is CE + W (2 - mean cos(g_t, z_t) - mean cos(g_v, z_v)). z_t is the frozen feature of one
sentence about each class, drawn at every step, the same number for all classes. z_v is the frozen
feature of another view of the same image: both are RandAugment (2 operations, magnitude 10) of the
resized image, without crop and flip; the first is prompted and classified.

Rulings: the authors' lists of sentences are equally long; where lists are not, the sentence of each
class stands as far down its own list, as a share of its length. Depth, number of tokens and W hang
on the dataset that is trained on, which the released code sets whatever it is told; a target's
sizes, which it would build for each dataset that it evaluates on, are not followed. It has neither
few-shot nor cross-dataset settings: under both those of base-to-new hold, by source.

Paradigm: end-to-end. Data beyond the few shots: class texts, only those of the classes that are
trained on; the paper's are a language model's. It learns 3,817,216 parameters on ViT-B/16 (2
tokens, 9 blocks), 5,014,528 with ImageNet's 4 tokens and 12 blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.api import ClassSet, Count, Share, Towers, Weight, unit
from promptbench.methods._class_texts import OneSentence
from promptbench.methods._cosine import cosine_distance
from promptbench.methods._feature_space import adapted, bottleneck, image_features
from promptbench.methods.maple import MaPLe


@dataclass(frozen=True)
class Prepared:
    """Normalised adapted text features [n_classes, embed_dim] and the classes they belong to."""

    text: Tensor
    classes: ClassSet


class CoPrompt(MaPLe):
    """Consistency-guided prompt learning.

    Args:
        n_ctx: prompt tokens per block, in both towers.
        depth: blocks with prompts of their own.
        ctx_init: as in `MaPLe`.
        w_consistency: weight of the distances to the frozen features (W).
        share_image: weight of the adapter in the image feature; the prompted feature has the rest.
        share_text: the same of the text feature.
        reduction: the adapters' bottlenecks are this many times narrower than the feature.

    Raises:
        UserError: bottlenecks of no dimension.
    """

    title = "CoPrompt"
    paper = "arXiv 2306.01195"
    paradigm = "end-to-end"
    extra_data = "class texts"
    class_texts = True
    views = 2
    needs = ("image_blocks", "text_embeddings", "text_blocks")
    vit_b16_parameters = 3_817_216
    equations_from = "the paper; code ShuvenduRoy/CoPrompt@a2a6c12"
    equals = "reference code"
    steady = False  # each step draws its sentences on the host

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        n_ctx: Count = 2,
        depth: Count = 9,
        ctx_init: str = "a photo of a",
        w_consistency: Weight = 1.0,
        share_image: Share = 0.1,
        share_text: Share = 0.2,
        reduction: Count = 4,
    ) -> None:
        super().__init__(towers, classes, n_ctx=n_ctx, depth=depth, ctx_init=ctx_init)
        self.w_consistency = w_consistency
        self.share_image, self.share_text = share_image, share_text
        width, setting = towers.embed_dim, "CoPrompt.reduction"
        self.image_adapter = nn.ModuleList(bottleneck(width, reduction, setting))
        self.text_adapter = nn.ModuleList(bottleneck(width, reduction, setting))
        self._frozen_text = OneSentence(towers.text, self.title)

    def drawn(self) -> float:
        """Draw how far down each class's list this step's sentence stands, from 0 to below 1."""
        return float(torch.rand(()))

    def text_features(self, classes: ClassSet) -> Tensor:
        features = self.raw_text_features(classes).float()
        return unit(adapted(features, self.text_adapter, self.share_text))

    def image_features(self, images: Tensor) -> Tensor:
        image = self.towers.image
        features = image.features(image.tokens(images), self.image_edits()).float()
        return unit(adapted(features, self.image_adapter, self.share_image))

    def prepare(self, classes: ClassSet) -> Prepared:
        return Prepared(self.text_features(classes), classes)

    def logits(self, images: Tensor, prepared: Prepared) -> Tensor:
        return self.cosine_logits(self.image_features(images), prepared.text)

    def losses(self, images: Tensor, labels: Tensor, prepared: Prepared) -> dict[str, Tensor]:
        prompted_view, frozen_view = images.unbind(dim=1)
        features = self.image_features(prompted_view)
        with torch.no_grad():
            frozen = unit(image_features(self.towers, frozen_view))
        frozen_text = self._frozen_text(prepared.classes, self.drawn())
        return {
            "ce": F.cross_entropy(self.cosine_logits(features, prepared.text), labels),
            "reg_text": cosine_distance(prepared.text, frozen_text),
            "reg_image": cosine_distance(features, frozen),
        }

    @property
    def loss_weights(self) -> Mapping[str, float]:
        return {"reg_text": self.w_consistency, "reg_image": self.w_consistency}
