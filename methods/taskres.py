"""TaskRes (Yu et al., arXiv 2211.10277): a learned residual on the frozen class features.

A class weighs w_k = t_k + ALPHA r_k, normalised; t_k is the mean over templates of the frozen,
unnormalised text features, r starts at 0. Logits are logit_scale * cos(f_v, w), the loss is their
cross-entropy. It has residuals for the classes it was trained on and no others.

Rulings: class names are spoken (underscores become spaces; `raw_names` is the released code's way).
The "enhanced base" of the paper, a text projection trained beforehand, is not included: its rows
used it.

Paradigm: feature space. Data beyond the few shots: none. It learns 512 parameters per class on
ViT-B/16 (512,000 on ImageNet).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from promptbench.api import ClassSet, Towers, Weight, unit
from promptbench.methods._cosine import CosineMethod
from promptbench.methods._feature_space import FrozenText, Templates, rows_of


class TaskRes(CosineMethod):
    """Task residual tuning.

    Args:
        alpha: weight of the residuals.
        templates: of the frozen text features; empty: the template of the dataset.
        raw_names: leave underscores in class names.
    """

    title = "TaskRes"
    paper = "arXiv 2211.10277"
    paradigm = "feature space"
    needs = ()
    open_vocabulary = False
    vit_b16_parameters = 512_000
    equations_from = "the paper; code geekyutao/TaskRes@5195359"
    equals = "reference code"
    steady = True

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        alpha: Weight = 0.5,
        templates: Templates = (),
        raw_names: bool = False,
    ) -> None:
        super().__init__(towers, classes)
        self.alpha = alpha
        self.frozen_text = FrozenText(towers, templates, raw_names=raw_names)
        self.residuals = nn.Parameter(torch.zeros(len(classes), towers.embed_dim))

    def text_features(self, classes: ClassSet) -> Tensor:
        residuals = self.residuals[rows_of(self, classes)]
        return unit(self.frozen_text(classes) + self.alpha * residuals)
