"""CoCoOp (Zhou et al., arXiv 2203.05557): context tokens conditioned on the image.

A small network turns the normalised image feature into a shift that is added to every context
token, ctx_m(x) = ctx_m + W2 ReLU(W1 f_v(x)) (Eq. 3), so that the classes are encoded again for
every image. The loss is the cross-entropy of logit_scale * cos(f_v, f_t(x)).

Paradigm: end-to-end. Data beyond the few shots: none. It learns 35,360 parameters on ViT-B/16
(4 tokens).
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.api import ClassSet, Count, Method, Tokens, Towers, edits, full_precision, unit
from promptbench.methods._context import context, prompted


class CoCoOp(Method):
    """Conditional context optimisation.

    Args:
        n_ctx: context tokens; a non-empty `ctx_init` sets it to the number of its tokens.
        ctx_init: words whose embeddings initialise the context; "" draws from N(0, 0.02^2).
        reduction: embedding width over hidden width of the network.
    """

    title = "CoCoOp"
    paper = "arXiv 2203.05557"
    paradigm = "end-to-end"
    needs = ("text_embeddings",)
    vit_b16_parameters = 35_360
    equations_from = "the paper, Eq. 3; code KaiyangZhou/CoOp@ff61507"
    equals = "reference code"
    steady = True

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        n_ctx: Count = 4,
        ctx_init: str = "a photo of a",
        reduction: Count = 16,
    ) -> None:
        super().__init__(towers, classes)
        self.ctx_init = ctx_init
        self.ctx = context(towers.text, n_ctx, ctx_init)
        hidden = max(towers.embed_dim // reduction, 1)
        self.meta_net = nn.Sequential(
            nn.Linear(towers.embed_dim, hidden), nn.ReLU(), nn.Linear(hidden, towers.text.width)
        )

    def prepare(self, classes: ClassSet) -> Tokens:
        """The frozen tokens of the class prompts."""
        return self.towers.text.tokens(prompted(classes.words, len(self.ctx), self.ctx_init))

    def text_features(self, image_features: Tensor, prepared: Tokens) -> Tensor:
        """Normalised text features [batch, n_classes, embed_dim] for image features [batch, d]."""
        text = self.towers.text
        shifted = self.ctx + self.meta_net(image_features).unsqueeze(1)
        places = [edits.Alike(partial(edits.replace, tokens=ctx)) for ctx in shifted]
        return torch.stack([unit(text.features(prepared, {0: place})) for place in places])

    def embed_images(self, images: Tensor) -> Tensor:
        image = self.towers.image
        return unit(image.features(image.tokens(images)))

    def logits(self, images: Tensor, prepared: Tokens) -> Tensor:
        features = self.embed_images(images)
        text = self.text_features(features, prepared)
        with full_precision(text):
            logits = self.towers.logit_scale * torch.einsum("bd,bcd->bc", features, text)
            return logits if self.towers.logit_bias is None else logits + self.towers.logit_bias

    def losses(self, images: Tensor, labels: Tensor, prepared: Tokens) -> dict[str, Tensor]:
        return {"ce": F.cross_entropy(self.logits(images, prepared), labels)}
