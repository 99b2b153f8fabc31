"""Shared part: learned class features held to the frozen ones of a template (KgCoOp, TCP, DeKg)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from promptbench.api import ClassSet, Towers, UserError, Weight, unit
from promptbench.methods._cosine import CosineMethod, cosine_distance


def one_place(template: str, parameter: str) -> str:
    """The template, which has one {} for the class name and no other brace.

    Raises:
        UserError: it has not; `parameter` is what it was given as.
    """
    around = template.split("{}")
    if len(around) != 2 or set("{}") & set("".join(around)):
        raise UserError(f"{parameter} = {template!r} must have one {{}}, for the class name")
    return template


@dataclass(frozen=True)
class Guided:
    """Normalised text features [n_classes, embed_dim]: learned and frozen."""

    text: Tensor
    frozen: Tensor


class GuidedMethod(CosineMethod):
    """CE + w_guide (1 - mean cos(f_t, f_t0)), f_t0 the frozen text features of a template.

    Args:
        w_guide: weight of the distance to the frozen text features.
        guide: template of the frozen text features; "" is that of the dataset.
        own: parameters of the class beside this one that says what is learned.

    Raises:
        UserError: a guide that has not one place for the class name.
    """

    steady = True

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        w_guide: Weight = 8.0,
        guide: str = "",
        **own: Any,
    ) -> None:
        super().__init__(towers, classes, **own)
        self.w_guide = w_guide
        self.guide = guide and one_place(guide, f"{type(self).__name__}.guide")

    @torch.no_grad()
    def frozen_text(self, classes: ClassSet) -> Tensor:
        """f_t0, normalised [n_classes, embed_dim]."""
        text = self.towers.text
        guided = replace(classes, template=self.guide or classes.template)
        return unit(text.features(text.tokens(guided.prompts)))

    def prepare(self, classes: ClassSet) -> Guided:
        frozen = self.frozen_text(classes)
        return Guided(self.text_features(classes), frozen)

    def logits(self, images: Tensor, prepared: Guided) -> Tensor:
        return self.cosine_logits(self.image_features(images), prepared.text)

    def losses(self, images: Tensor, labels: Tensor, prepared: Guided) -> dict[str, Tensor]:
        terms = super().losses(images, labels, prepared)
        return {**terms, "guide": cosine_distance(prepared.text, prepared.frozen)}

    @property
    def loss_weights(self) -> Mapping[str, float]:
        return {"guide": self.w_guide}
