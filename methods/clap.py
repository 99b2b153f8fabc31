"""CLAP and its zero-shot-initialised probe (Silva-Rodriguez et al., arXiv 2312.12730).

Prototypes w start at t_k, the mean over templates of the frozen, unnormalised text features; logits
are logit_scale * cos(f_v, w). Loss = CE + mean_k LAMBDA_k |w_k - t_k|^2, where LAMBDA_k is the mean
zero-shot probability of class k over its training images, computed once. Without the constraint
(`constraint = "none"`) it is the paper's ZS-LP. Images are encoded in augmented passes before the
training, SGD steps on the features follow. It has prototypes for the classes it was trained on.

Rulings: class names are spoken (underscores become spaces; `raw_names` is the released code's way).
An epoch has as many batches as one pass of the images, drawn from the features of all passes, as in
the code.

Paradigm: feature space. Data beyond the few shots: none. It learns 512 parameters per class on
ViT-B/16 (512,000 on ImageNet).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.api import ClassSet, Count, CountOrZero, Towers, Weight, full_precision, unit
from promptbench.methods._cosine import CosineMethod
from promptbench.methods._feature_space import FrozenText, Templates, rows_of, shown_features

Constraint = Literal["none", "l2", "balanced", "corrected", "constant", "adaptive"]


@dataclass(frozen=True)
class Prepared:
    """Prototypes and where they started [n_classes, embed_dim], and their weights [n_classes]."""

    prototypes: Tensor
    start: Tensor
    multipliers: Tensor


class CLAP(CosineMethod):
    """Class-adaptive linear probing.

    Args:
        constraint: "l2" is the paper's. "none": no constraint; "balanced": all weights 1;
            "corrected": rescaled to a mean of 1; "constant": their mean; "adaptive": multipliers
            that grow after each epoch with the distance.
        passes: augmented passes that are encoded before the training; 0: the test transform.
        epochs, batch_size, lr, momentum, warmup_epochs: of SGD on features (1e-5, then a cosine).
        templates, raw_names: other templates than the dataset's; underscores stay in names.
    """

    title = "CLAP"
    paper = "arXiv 2312.12730"
    paradigm = "feature space"
    needs = ()
    open_vocabulary = False
    vit_b16_parameters = 512_000
    equations_from = "the paper; code jusiro/CLAP@dbdf409"
    equals = "reference code"

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        constraint: Constraint = "l2",
        passes: CountOrZero = 20,
        epochs: Count = 300,
        batch_size: Count = 256,
        lr: Weight = 0.1,
        momentum: Weight = 0.9,
        warmup_epochs: CountOrZero = 1,
        templates: Templates = (),
        raw_names: bool = False,
    ) -> None:
        super().__init__(towers, classes)
        self.constraint, self.passes = constraint, passes
        self.epochs, self.batch_size, self.warmup_epochs = epochs, batch_size, warmup_epochs
        self.lr, self.momentum = lr, momentum
        self.frozen_text = FrozenText(towers, templates, raw_names=raw_names)
        self.prototypes = nn.Parameter(torch.zeros(len(classes), towers.embed_dim))
        self.register_buffer("multipliers", torch.zeros(len(classes)))
        self.multipliers: Tensor

    def solve(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        features, labels = shown_features(self, batches)
        n_batches = max(len(labels) // self.batch_size, 1)
        labels, features = labels.repeat(len(features)), features.flatten(0, 1)
        self.frozen_text(self.classes)  # remembered from here on; the towers need autocast
        with full_precision(features):
            self.begin(features, labels)
            optimizer = torch.optim.SGD([self.prototypes], lr=self.lr, momentum=self.momentum)
            penalty = torch.zeros_like(self.multipliers)
            for epoch in range(self.epochs):
                optimizer.param_groups[0]["lr"] = self.lr_at(epoch)
                order = torch.randperm(len(labels)).to(labels.device)
                for chosen in order.split(self.batch_size)[:n_batches]:
                    optimizer.zero_grad()
                    terms = self.terms(features[chosen], labels[chosen], self.prepare(self.classes))
                    self.total(terms).backward()
                    optimizer.step()
                if self.constraint == "adaptive":
                    penalty = self.tighten(penalty)

    @torch.no_grad()
    def begin(self, features: Tensor, labels: Tensor) -> None:
        """Set prototypes to the text, multipliers to what the zero-shot model says of features
        [images, embed_dim], not normalised."""
        start = self.frozen_text(self.classes)
        self.prototypes.copy_(start)
        self.multipliers.copy_(
            self.weights(self.cosine_logits(unit(features), unit(start)), labels)
        )

    def weights(self, zero_shot: Tensor, labels: Tensor) -> Tensor:
        """LAMBDA [n_classes] from zero-shot logits [images, n_classes]; classes without an image
        have 0."""
        one_hot = F.one_hot(labels, len(self.classes)).float()
        mean = (one_hot * zero_shot.softmax(dim=-1)).sum(dim=0) / one_hot.sum(dim=0).clamp_min(1)
        others = {
            "none": torch.zeros_like(mean),
            "balanced": torch.ones_like(mean),
            "corrected": mean / mean.mean(),
            "constant": mean.mean().expand_as(mean),
        }
        return others.get(self.constraint, mean)

    def lr_at(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        passed = epoch - self.warmup_epochs
        if passed < 0:
            return 1e-5
        return self.lr * (1 + math.cos(math.pi * passed / self.epochs)) / 2

    @torch.no_grad()
    def tighten(self, penalty: Tensor) -> Tensor:
        """Let multipliers grow by the last penalty times the distances, the next penalty."""
        distances = (self.prototypes - self.frozen_text(self.classes)).square().sum(dim=-1)
        self.multipliers.copy_((self.multipliers + penalty * distances).clamp_min(0))
        return distances

    def text_features(self, classes: ClassSet) -> Tensor:
        return unit(self.prototypes[rows_of(self, classes)])

    def prepare(self, classes: ClassSet) -> Prepared:
        rows, start = rows_of(self, classes), self.frozen_text(self.classes)
        return Prepared(self.prototypes[rows], start[rows], self.multipliers[rows])

    def logits(self, images: Tensor, prepared: Prepared) -> Tensor:
        return self.cosine_logits(self.image_features(images), unit(prepared.prototypes))

    def losses(self, images: Tensor, labels: Tensor, prepared: Prepared) -> dict[str, Tensor]:
        return self.terms(self.image_features(images), labels, prepared)

    def terms(self, features: Tensor, labels: Tensor, prepared: Prepared) -> dict[str, Tensor]:
        """The loss terms of features [batch, embed_dim]."""
        logits = self.cosine_logits(unit(features), unit(prepared.prototypes))
        distances = (prepared.prototypes - prepared.start).square().sum(dim=-1)
        constraint = (prepared.multipliers * distances).mean()
        return {"ce": F.cross_entropy(logits, labels), "constraint": constraint}
