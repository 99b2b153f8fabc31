"""HiCroPL (Zheng et al., arXiv 2507.14976): deep prompts of both towers that learn from each other.

Both towers have n prompts in each of their first D blocks, T_i and V_i, as IVLP. In blocks 1 to k
the image prompts follow from the text prompts, in blocks k + 1 to D the text prompts from the image
prompts:

    p_i = LN2(q_i + MHA(LN1 q_i, LN1 P_i, LN1 P_i))                 a proxy of the prompts P_i
    x = L_q(X) + MHA(LN1 L_q(X), LN1 L_k(p), LN1 L_v(p)),  X' = x + FFN(LN2 x)

X are all prompts of the target's blocks, in one sequence, and X' what enters them; p are the
proxies of the source's raw prompts. Features are fused with frozen ones, g = unit(unit(f) + z),
where z_v is of the same picture and z_t the mean over sentences about the class. Logits are
logit_scale * cos(g_v, g_t), the loss is CE + w (2 - mean cos(g_t, z_t) - mean cos(g_v, z_v)).

Paradigm: end-to-end. Data beyond the few shots: class texts, those of new classes among them; the
paper's are a language model's. It learns 33,431,040 parameters on ViT-B/16 (n 16, k 6, D 12).

As released (`as_released`): the code writes X' over X outside of autograd, at every forward pass.
Mappers, poolings and queries get no gradient and stay as they were drawn, and a step moves what was
written; 245,760 parameters are learned. Its evaluation goes on writing, so that an image's logits
hang on how many batches came before it, which no method may do here: a training step writes, and
evaluation takes, for every image, what the first pass after the last step would write.

The paper's numbers are of the epoch that is best on validation images (of ImageNet: on the test
set); here the protocol's rule holds, the last epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from promptbench.api import ClassSet, Count, Towers, UserError, Weight, normal, unit
from promptbench.methods._class_texts import FrozenSentences
from promptbench.methods._context import prompted
from promptbench.methods._cosine import CosineMethod, cosine_distance
from promptbench.methods._deep_prompts import (
    image_prompt_edits,
    text_prompt_edits,
    text_prompts,
    usable_init,
)
from promptbench.methods._exchange import Exchange


@dataclass(frozen=True)
class Prepared:
    """Fused and frozen text features [n_classes, embed_dim], and the image tower's prompts
    [depth, n_ctx, width]."""

    text: Tensor
    frozen: Tensor
    image_prompts: Tensor


class HiCroPL(CosineMethod):
    """Hierarchical cross-modal prompt learning.

    Args:
        n_ctx: prompt tokens per block, in both towers (n).
        depth: blocks with prompts of their own (D).
        cross_layer: the last block in which image prompts follow from text prompts (k < D).
        w_distance: weight of the distances to the frozen features.
        ctx_init: fixed words before a class name, whose first `n_ctx` initialise block 1; with
            fewer words than tokens (or "") the context is random and the words are placeholders.
        as_released: write prompts over in training as the released code does; see the module.

    Raises:
        UserError: a `cross_layer` that leaves no block to one direction; a width that eight heads
            do not divide.
    """

    title = "HiCroPL"
    paper = "arXiv 2507.14976"
    paradigm = "end-to-end"
    extra_data = "class texts"
    class_texts = True
    needs = ("image_blocks", "text_embeddings", "text_blocks")
    vit_b16_parameters = 33_431_040
    equations_from = "the paper; code zzeoZheng/HiCroPL@2c2b2f2"
    equals = "reference code"
    steady = False  # as released, a step writes prompts over

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        n_ctx: Count = 16,
        depth: Count = 12,
        cross_layer: Count = 6,
        w_distance: Weight = 12.0,
        ctx_init: str = "a photo of a",
        as_released: bool = False,
    ) -> None:
        super().__init__(towers, classes)
        if cross_layer >= depth:
            raise UserError(
                f"HiCroPL.cross_layer = {cross_layer} must be below HiCroPL.depth = {depth}: both "
                "directions need a block"
            )
        text, self.w_distance = towers.text, w_distance
        self.ctx_init = usable_init(text, n_ctx, ctx_init)
        own = text_prompts(text, depth, n_ctx, self.ctx_init)
        self.exchange = Exchange(own, normal(n_ctx, towers.image.width), cross_layer, as_released)
        self._frozen_text = FrozenSentences(text, self.title)

    def prepare(self, classes: ClassSet) -> Prepared:
        text, frozen = self.towers.text, self._frozen_text(classes)
        of_text, of_image = self.exchange()
        tokens = text.tokens(prompted(classes.words, of_text.shape[1], self.ctx_init))
        features = text.features(tokens, text_prompt_edits(of_text))
        return Prepared(_fused(features, frozen), frozen, of_image)

    def both_features(self, images: Tensor, prepared: Prepared) -> tuple[Tensor, Tensor]:
        """Fused and frozen image features, [batch, embed_dim] both."""
        image = self.towers.image
        tokens = image.tokens(images)
        with torch.no_grad():
            frozen = unit(image.features(tokens))
        features = image.features(tokens, image_prompt_edits(prepared.image_prompts))
        return _fused(features, frozen), frozen

    def embed_images(self, images: Tensor) -> Tensor:
        return self.both_features(images, self.prepare(self.classes))[0]

    def text_features(self, classes: ClassSet) -> Tensor:
        return self.prepare(classes).text

    def logits(self, images: Tensor, prepared: Prepared) -> Tensor:
        return self.cosine_logits(self.both_features(images, prepared)[0], prepared.text)

    def losses(self, images: Tensor, labels: Tensor, prepared: Prepared) -> dict[str, Tensor]:
        features, frozen = self.both_features(images, prepared)
        return {
            "ce": F.cross_entropy(self.cosine_logits(features, prepared.text), labels),
            "reg_text": cosine_distance(prepared.text, prepared.frozen),
            "reg_image": cosine_distance(features, frozen),
        }

    @property
    def loss_weights(self) -> Mapping[str, float]:
        return {"reg_text": self.w_distance, "reg_image": self.w_distance}


def _fused(features: Tensor, frozen: Tensor) -> Tensor:
    """unit(unit(f) + z)."""
    return unit(unit(features) + frozen)
