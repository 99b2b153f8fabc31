"""Tip-Adapter-F (arXiv 2111.03930), by what docs/extending/ and promptbench.api say only.

Paradigm: feature space. Data beyond the few shots: none.
"""

import torch
import torch.nn.functional as F
from torch import nn

from promptbench.api import Count, Method, Weight, full_precision, unit

PROMPTBENCH_API = 1


class MyTipAdapterF(Method):
    title = "Tip-Adapter-F of a stranger"
    paper = "arXiv 2111.03930"
    paradigm = "feature space"
    open_vocabulary = False

    def __init__(
        self, towers, classes, *, alpha: Weight = 1.17, beta: Weight = 1.0, passes: Count = 10
    ):
        super().__init__(towers, classes)
        self.alpha, self.beta, self.passes = alpha, beta, passes
        self.keys = nn.Parameter(torch.zeros(0, towers.embed_dim))  # a row for each image
        self.register_buffer("labels", torch.zeros(0, dtype=torch.int64))

    def _features(self, images):
        image = self.towers.image
        return image.features(image.tokens(images)).float()

    @torch.no_grad()
    def start_from(self, batches):
        pairs = [(self._features(images), labels) for images, labels in batches]
        features, labels = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        features = features.unflatten(0, (self.passes, -1))
        self.keys = nn.Parameter(unit(features.mean(dim=0)))
        self.labels = labels[: features.shape[1]]

    def prepare(self, classes):
        text = self.towers.text
        own = [self.classes.names.index(name) for name in classes.names]
        values = F.one_hot(self.labels, len(self.classes)).float()[:, own]
        return unit(text.features(text.tokens(classes.prompts))), values

    def logits(self, images, prepared):
        text, values = prepared
        features = unit(self._features(images))
        with full_precision(features):
            near = (-self.beta * (1 - features @ self.keys.T)).exp() @ values
            return 100 * features @ text.T + self.alpha * near

    def losses(self, images, labels, prepared):
        return {"ce": F.cross_entropy(self.logits(images, prepared), labels)}
