"""KgCoOp (Yao et al., arXiv 2303.13283): CoOp held to the frozen class features.

CoOp with the loss CE + W (1 - mean cos(f_t, f_t0)) where f_t0 are the frozen text features
of the dataset's template; of DTD its code has another one than the field's zero-shot CLIP.

Paradigm: end-to-end. Data beyond the few shots: none. It learns 2,048 parameters on ViT-B/16 with
M = 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from promptbench.api import ClassSet, Towers, UserError, Weight, unit
from promptbench.methods.coop import CoOpNetwork


@dataclass(frozen=True)
class Guided:
    """Normalised text features [n_classes, embed_dim]: learned and frozen."""

    text: Tensor
    frozen: Tensor


class KgCoOp(CoOpNetwork):
    """Knowledge-guided context optimisation.

    Args:
        w_guide: weight W of the distance to the frozen text features.
        guide: template of the frozen text features; "" is that of the dataset.
        context: see `CoOpNetwork`.

    Raises:
        UserError: a guide that has not one place for the class name.
    """

    title = "KgCoOp"
    paper = "arXiv 2303.13283"
    paradigm = "end-to-end"
    vit_b16_parameters = 2_048
    equations_from = "the paper; code htyao89/KgCoOp@c43ccc3"
    equals = "reference code"

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        w_guide: Weight = 8.0,
        guide: str = "",
        **context: Any,
    ) -> None:
        super().__init__(towers, classes, **context)
        around = guide.split("{}")
        if guide and (len(around) != 2 or set("{}") & set("".join(around))):
            raise UserError(f"KgCoOp.guide = {guide!r} must have one {{}}, for the class name")
        self.w_guide = w_guide
        self.guide = guide

    def prepare(self, classes: ClassSet) -> Guided:
        text = self.towers.text
        guided = replace(classes, template=self.guide or classes.template)
        with torch.no_grad():
            frozen = unit(text.features(text.tokens(guided.prompts)))
        return Guided(self.text_features(classes), frozen)

    def logits(self, images: Tensor, prepared: Guided) -> Tensor:
        return self.cosine_logits(self.image_features(images), prepared.text)

    def losses(self, images: Tensor, labels: Tensor, prepared: Guided) -> dict[str, Tensor]:
        terms = super().losses(images, labels, prepared)
        return {**terms, "guide": 1 - (prepared.text * prepared.frozen).sum(dim=-1).mean()}

    @property
    def loss_weights(self) -> Mapping[str, float]:
        return {"guide": self.w_guide}
