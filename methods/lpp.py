"""LP++ (Huang et al., arXiv 2404.02285): a linear probe with a learned multiplier of the text.

Logits of class k: w_k f_v + b_k + ALPHA_k t_k f_v, of normalised features, without a logit scale.
w_k starts at the sum of its images' features, ALPHA at 250 times the mean of t_k f_v over a class
and over classes. Step sizes follow from the data: of w and b 4 N / lambda_max(F^T F), of ALPHA
N / (4 max_k sum_i (f_i t_k)^2). All steps are on the whole training set, in one augmented pass;
ALPHA takes one every tenth epoch. It has weights for the classes it was trained on and no others.

Rulings: the last epoch is scored; the paper's rows have the best one on a validation sample as
large as the training set. As in the released code there is a bias (`bias`), and ALPHA's step sums
the gradients of all epochs so far (`accumulate`); the paper has no bias and a fresh gradient.

Paradigm: feature space. Data beyond the few shots: none. It learns 514 parameters per class on
ViT-B/16 (514,000 on ImageNet).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.api import (
    ClassSet,
    Count,
    CountOrZero,
    Method,
    Towers,
    Weight,
    full_precision,
    unit,
)
from promptbench.methods._feature_space import (
    FrozenText,
    Templates,
    image_features,
    rows_of,
    shown_features,
)

_ALPHA = 250.0  # times the mean cosine of images and their class
_EVERY = 10  # epochs between two steps of alpha


@dataclass(frozen=True)
class Prepared:
    """Of each class: text features and weights [n_classes, embed_dim], bias, alpha [n_classes]."""

    text: Tensor
    weight: Tensor
    bias: Tensor
    alpha: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """Logits [batch, n_classes] of normalised features [batch, embed_dim]."""
        return F.linear(features, self.weight, self.bias) + self.alpha * (features @ self.text.T)


class LPP(Method):
    """Linear probing with text.

    Args:
        epochs: steps on the whole training set.
        momentum: of the steps of w and b.
        bias: whether b is learned, from U(-1, 1) / sqrt(embed_dim); otherwise it is 0.
        accumulate: whether the gradient of ALPHA is never set back.
        passes: augmented passes of the training images; 0: the test transform.
        templates: of the text features, each normalised; empty: the template of the dataset.
    """

    title = "LP++"
    paper = "arXiv 2404.02285"
    paradigm = "feature space"
    needs = ()
    open_vocabulary = False
    vit_b16_parameters = 514_000
    equations_from = "the paper; code FereshteShakeri/FewShot-CLIP-Strong-Baseline@f81054f"
    equals = "reference code"

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        epochs: Count = 300,
        momentum: Weight = 0.9,
        bias: bool = True,
        accumulate: bool = True,
        passes: CountOrZero = 1,
        templates: Templates = (),
    ) -> None:
        super().__init__(towers, classes)
        self.epochs, self.momentum, self.accumulate = epochs, momentum, accumulate
        self.passes = passes
        self.frozen_text = FrozenText(towers, templates, normalised=True)
        n, width = len(classes), towers.embed_dim
        self.weight = nn.Parameter(torch.zeros(n, width))
        drawn = (2 * torch.rand(n) - 1) * width**-0.5
        self.bias = nn.Parameter(drawn if bias else torch.zeros(n), requires_grad=bias)
        self.alpha = nn.Parameter(torch.zeros(n))

    def solve(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        shown, labels = shown_features(self, batches)
        features, labels = unit(shown.flatten(0, 1)), labels.repeat(len(shown))
        self.frozen_text(self.classes)  # remembered from here on; the towers need autocast
        with full_precision(features):
            self.begin(features, labels)
            self.descend(features, labels)

    @torch.no_grad()
    def begin(self, features: Tensor, labels: Tensor) -> None:
        """Set weights and alpha from normalised features [images, embed_dim]."""
        one_hot = F.one_hot(labels, len(self.classes)).float()
        near = features @ self.frozen_text(self.classes).T
        counts = one_hot.sum(dim=0).clamp_min(1)
        self.weight.copy_(one_hot.T @ features)
        self.alpha.fill_(float(_ALPHA * ((one_hot * near).sum(dim=0) / counts).mean()))

    def steps(self, features: Tensor) -> tuple[float, float]:
        """The step sizes of weights and alpha."""
        count, text = len(features), self.frozen_text(self.classes)
        largest = torch.linalg.eigvalsh(features.T @ features)[-1]
        near = (features @ text.T).square().sum(dim=0).max()
        return float(4 * count / largest), float(count / (4 * near))

    def descend(self, features: Tensor, labels: Tensor) -> None:
        """Take all steps."""
        size, size_alpha = self.steps(features)
        learned = [p for p in (self.weight, self.bias) if p.requires_grad]
        optimizer = torch.optim.SGD(learned, lr=size, momentum=self.momentum)
        self.alpha.grad = None
        for epoch in range(1, self.epochs + 1):
            optimizer.zero_grad()
            if not self.accumulate:
                self.alpha.grad = None
            logits = self.prepare(self.classes).logits(features)
            F.cross_entropy(logits, labels).backward()
            optimizer.step()
            if epoch % _EVERY == 0 and self.alpha.grad is not None:
                with torch.no_grad():
                    self.alpha -= size_alpha * self.alpha.grad
        self.zero_grad()

    def prepare(self, classes: ClassSet) -> Prepared:
        rows = rows_of(self, classes)
        text = self.frozen_text(classes)
        return Prepared(text, self.weight[rows], self.bias[rows], self.alpha[rows])

    def embed_images(self, images: Tensor) -> Tensor:
        return unit(image_features(self.towers, images))

    def embed_classes(self, classes: ClassSet) -> Tensor:
        return self.frozen_text(classes)

    def logits(self, images: Tensor, prepared: Prepared) -> Tensor:
        features = unit(image_features(self.towers, images))
        with full_precision(features):
            return prepared.logits(features)

    def losses(self, images: Tensor, labels: Tensor, prepared: Prepared) -> dict[str, Tensor]:
        return {"ce": F.cross_entropy(self.logits(images, prepared), labels)}
