"""Linear probe (Radford et al., arXiv 2103.00020): logistic regression on frozen image features.

Minimises |W|^2 / 2 + C sum_i CE(W f_v(x_i) + b, y_i) with L-BFGS over the projected, unnormalised
features of the training images under the test transform. C is fixed (CLIP's released example), as
no protocol here selects on validation data. It has weights for the classes it was trained on and
no others, so it runs under protocols whose targets have the source's classes (few_shot).

Paradigm: feature space. Data beyond the few shots: none. It learns 513 parameters per class on
ViT-B/16 (513,000 on ImageNet).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from promptbench.api import ClassSet, Count, Method, Towers, UserError, full_precision, unit

Inverse = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class LinearProbe(Method):
    """Logistic regression through scikit-learn.

    Args:
        C: inverse strength of the L2 penalty on W (the intercept b is free).
        max_iter: most iterations of L-BFGS.
    """

    title = "Linear probe"
    paper = "arXiv 2103.00020"
    paradigm = "feature space"
    open_vocabulary = False
    needs = ()
    requires: ClassVar = {"sklearn": "pip install 'promptbench-vlm[probe]'"}
    vit_b16_parameters = 513_000
    equations_from = "the paper; CLIP's released example"
    equals = "equations"

    def __init__(
        self, towers: Towers, classes: ClassSet, C: Inverse = 0.316, max_iter: Count = 1000
    ) -> None:
        super().__init__(towers, classes)
        self.C, self.max_iter = C, max_iter
        self.weight = nn.Parameter(torch.zeros(len(classes), towers.embed_dim))
        self.bias = nn.Parameter(torch.zeros(len(classes)))

    def features(self, images: Tensor) -> Tensor:
        """Frozen image features [batch, embed_dim], not normalised, float32."""
        image = self.towers.image
        return image.features(image.tokens(images)).float()

    def embed_images(self, images: Tensor) -> Tensor:
        return unit(self.features(images))

    @torch.no_grad()
    def solve(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Fit W and b to all training images at once."""
        from sklearn.linear_model import LogisticRegression

        pairs = [(self.features(images).cpu(), labels.cpu()) for images, labels in batches]
        if missing := len(self.weight) - len(torch.cat([labels for _, labels in pairs]).unique()):
            raise UserError(f"a linear probe needs an image of each class, and {missing} have none")
        features, labels = (torch.cat(parts).double().numpy() for parts in zip(*pairs, strict=True))
        two = len(self.weight) == 2
        # Of two classes scikit-learn keeps the difference w of the rows +-w/2, whose penalty is
        # half of w's own: twice the C gives the same minimum.
        model = LogisticRegression(C=self.C * (2 if two else 1), max_iter=self.max_iter)
        model.fit(features, labels)
        weight, bias = torch.from_numpy(model.coef_), torch.from_numpy(model.intercept_)
        if two:
            weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
        self.weight.copy_(weight)
        self.bias.copy_(bias)

    def prepare(self, classes: ClassSet) -> Tensor:
        """The row of each class, int64 [n_classes]."""
        own = self.classes.names
        if classes.names == own:
            return torch.arange(len(own), device=self.weight.device)
        unseen = sorted(set(classes.names) - set(own))
        if unseen:
            raise UserError(
                f"the linear probe has no weights for {unseen[0]!r}, a class it was not trained on"
            )
        rows = [own.index(name) for name in classes.names]
        return torch.tensor(rows, device=self.weight.device)

    def logits(self, images: Tensor, prepared: Tensor) -> Tensor:
        features = self.features(images)
        with full_precision(features):
            return F.linear(features, self.weight[prepared], self.bias[prepared])

    def losses(self, images: Tensor, labels: Tensor, prepared: Tensor) -> dict[str, Tensor]:
        return {"ce": F.cross_entropy(self.logits(images, prepared), labels)}
