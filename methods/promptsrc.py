"""PromptSRC (Khattak et al., arXiv 2307.06948): IVLP's prompts, regulated by the frozen model.

Loss = CE + w_text |f_t - f_t0|_1 + w_image |f_v - f_v0|_1 + w_logits KL(p0 || p): element means of
the L1 distances between normalised prompted and frozen features, and the sum of the KL terms over
images and classes divided by their number. f_t0 is the normalised mean of the frozen features of a
class over many templates (textual diversity), p0 the softmax of logit_scale * cos(f_v0, f_t0). The
learned prompts are the Gaussian-weighted mean of those of all epochs (`Recipe.average`).

Paradigm: end-to-end. Data beyond the few shots: none (the templates are CLIP's own for ImageNet).
It learns 46,080 parameters on ViT-B/16 (4 + 4 tokens, 9 blocks).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from promptbench.api import ClassSet, Towers, Weight, imagenet_templates, unit
from promptbench.methods.ivlp import IVLPNetwork


@dataclass(frozen=True)
class Prepared:
    """Normalised prompted text features [n_classes, embed_dim] and the classes they belong to."""

    text: Tensor
    classes: ClassSet


class PromptSRC(IVLPNetwork):
    """Self-regulating prompts.

    Args:
        w_text: weight of the distance to the frozen text features.
        w_image: weight of the distance to the frozen image features.
        w_logits: weight of the divergence from the frozen predictions.
        templates: templates of the frozen text features; empty: CLIP's first 60 for ImageNet.
        prompts: see `IVLPNetwork`.
    """

    title = "PromptSRC"
    paper = "arXiv 2307.06948"
    paradigm = "end-to-end"
    vit_b16_parameters = 46_080
    equations_from = "the paper; code muzairkhattak/PromptSRC@bb95c77"
    equals = "reference code"

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        w_text: Weight = 25.0,
        w_image: Weight = 10.0,
        w_logits: Weight = 1.0,
        templates: Sequence[str] = (),
        **prompts: Any,
    ) -> None:
        super().__init__(towers, classes, **prompts)
        self.w_text, self.w_image, self.w_logits = w_text, w_image, w_logits
        self.templates = tuple(templates) or imagenet_templates()[:60]
        self._frozen_text: dict[tuple[str, ...], Tensor] = {}

    def prepare(self, classes: ClassSet) -> Prepared:
        return Prepared(self.text_features(classes), classes)

    def logits(self, images: Tensor, prepared: Prepared) -> Tensor:
        return self.cosine_logits(self.image_features(images), prepared.text)

    @torch.no_grad()
    def frozen_text(self, classes: ClassSet) -> Tensor:
        """f_t0 [n_classes, embed_dim]; computed once for the class list that is trained on."""
        if classes.names not in self._frozen_text:
            text = self.towers.text
            features = [
                text.features(text.tokens(ClassSet(classes.names, template).prompts)).float()
                for template in self.templates
            ]
            self._frozen_text = {classes.names: unit(torch.stack(features).mean(dim=0))}
        return self._frozen_text[classes.names]

    def losses(self, images: Tensor, labels: Tensor, prepared: Prepared) -> dict[str, Tensor]:
        image = self.towers.image
        tokens = image.tokens(images)
        features = unit(image.features(tokens, self.image_edits()))
        frozen_text = self.frozen_text(prepared.classes)
        with torch.no_grad():
            frozen = unit(image.features(tokens))
            target = F.log_softmax(self.cosine_logits(frozen, frozen_text), dim=-1)
        logits = self.cosine_logits(features, prepared.text)
        divergence = F.kl_div(
            F.log_softmax(logits, dim=-1), target, reduction="sum", log_target=True
        )
        return {
            "ce": F.cross_entropy(logits, labels),
            "reg_text": F.l1_loss(prepared.text, frozen_text),
            "reg_image": F.l1_loss(features, frozen),
            "reg_logits": divergence / logits.numel(),
        }

    @property
    def loss_weights(self) -> Mapping[str, float]:
        return {"reg_text": self.w_text, "reg_image": self.w_image, "reg_logits": self.w_logits}
