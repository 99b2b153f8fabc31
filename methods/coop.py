"""CoOp (Zhou et al., arXiv 2109.01134): learnable context tokens in the class prompt.

The prompt is [ctx_1 ... ctx_M name .]; its context vectors, shared by all classes or one set per
class (`csc`), are learnt with the cross-entropy of logit_scale * cos(f_v, f_t) (Eq. 2, 3). It uses
the few shots alone. On ViT-B/16 with M = 4 it learns 2,048 parameters.
"""

from __future__ import annotations

from typing import Literal

import gin
import torch
from promptbench.methods._context import context, reordered
from promptbench.methods._frozen_image import FrozenImageMethod
from torch import Tensor, nn

from promptbench import edits
from promptbench.errors import UserError
from promptbench.method import ClassSet, unit
from promptbench.towers import Towers


@gin.configurable
class CoOp(FrozenImageMethod):
    """Context optimisation.

    Args:
        n_ctx: context tokens M; a non-empty `ctx_init` sets it to the number of its tokens.
        ctx_init: words whose embeddings initialise the context; "" draws from N(0, 0.02^2).
        csc: one context per class. As in the reference, `ctx_init` switches it off.
        class_token_position: where the name stands among the context tokens.
    """

    title = "CoOp"
    paper = "arXiv 2109.01134"
    paradigm = "end-to-end"

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        n_ctx: int = 4,
        ctx_init: str = "a photo of a",
        csc: bool = False,
        class_token_position: Literal["end", "middle", "front"] = "end",
    ) -> None:
        super().__init__(towers, classes)
        self.class_token_position = class_token_position
        self.ctx_init = ctx_init
        shared = context(towers.text, n_ctx, ctx_init)
        self.n_ctx = len(shared)
        self.csc = csc and not ctx_init
        if self.csc:
            shared = nn.Parameter(torch.randn(len(classes), n_ctx, towers.text.width) * 0.02)
        self.ctx = shared

    def prepare(self, classes: ClassSet) -> Tensor:
        """Normalised text features [n_classes, embed_dim]."""
        if self.csc and classes.names != self.classes.names:
            raise UserError(
                "CoOp with class-specific context (CoOp.csc=True) has no context for classes it "
                "was not trained on; use csc=False or a protocol without new classes"
            )
        text = self.towers.text
        placeholder = self.ctx_init or " ".join(["X"] * self.n_ctx)
        tokens = text.tokens([f"{placeholder} {name}." for name in classes.words])
        order = self._order(classes, tokens.embedded.shape[1])

        def place(embedded: Tensor) -> Tensor:
            x = edits.replace(embedded, self.ctx)
            if order is None:
                return x
            return x.gather(1, order.to(x.device).unsqueeze(-1).expand_as(x))

        return unit(text.features(tokens, {0: place}))

    def _order(self, classes: ClassSet, length: int) -> Tensor | None:
        if self.class_token_position == "end":
            return None
        before = self.n_ctx // 2 if self.class_token_position == "middle" else 0
        names = [len(self.towers.text.encode(name)) for name in classes.words]
        return reordered(self.n_ctx, before, names, length)
