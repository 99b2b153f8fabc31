"""ProGrad (arXiv 2205.14865), by what docs/extending/ and promptbench.api say only.

Paradigm: end-to-end. Data beyond the few shots: none.
"""

from functools import partial

import torch
import torch.nn.functional as F

from promptbench.api import Count, Method, Weight, edits, full_precision, normal, unit

PROMPTBENCH_API = 1


class MyProGrad(Method):
    title = "ProGrad of a stranger"
    paper = "arXiv 2205.14865"
    paradigm = "end-to-end"

    def __init__(self, towers, classes, *, n_ctx: Count = 16, strength: Weight = 1.0):
        super().__init__(towers, classes)
        self.ctx, self.strength = normal(n_ctx, towers.text.width), strength

    def prepare(self, classes):
        text, places = self.towers.text, " ".join("X" * len(self.ctx))
        tokens = text.tokens([f"{places} {words}." for words in classes.words])
        learned = text.features(tokens, {0: partial(edits.replace, tokens=self.ctx)})
        with torch.no_grad():
            frozen = text.features(text.tokens(classes.prompts))
        return unit(learned), unit(frozen)

    def _both(self, images, prepared):
        image = self.towers.image
        features = unit(image.features(image.tokens(images)))
        with full_precision(features):
            return [self.towers.logit_scale * features @ text.T for text in prepared]

    def logits(self, images, prepared):
        return self._both(images, prepared)[0]

    def losses(self, images, labels, prepared):
        logits, frozen = self._both(images, prepared)
        general = F.cross_entropy(logits, frozen.softmax(dim=-1))
        return {"ce": F.cross_entropy(logits, labels), "general": general}

    @property
    def loss_weights(self):
        return {"general": 0.0}  # monitored, and asked for in `gradients`

    def gradients(self, terms, gradient_of):
        g, h = gradient_of(terms["ce"])["ctx"], gradient_of(terms["general"])["ctx"]
        along = (g * h).sum() / h.norm()
        against = self.strength * along.clamp(max=0) * h / h.norm()
        return {"ctx": g - torch.where(h.norm() > 0, against, 0)}
