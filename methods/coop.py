"""CoOp (Zhou et al., arXiv 2109.01134): learnable context tokens in the class prompt.

The prompt is [ctx_1 ... ctx_M name .]; its context vectors, shared by all classes or one set per
class (`csc`), are learned with the cross-entropy of logit_scale * cos(f_v, f_t) (Eq. 2, 3).

Paradigm: end-to-end. Data beyond the few shots: none. It learns 2,048 parameters on ViT-B/16 with
M = 4.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from promptbench.api import ClassSet, Count, Moves, Tokens, Towers, UserError, edits, normal, unit
from promptbench.methods._context import context, prompted, reordered
from promptbench.methods._cosine import CosineMethod


class CoOpNetwork(CosineMethod):
    """Context tokens in the class prompt.

    Args:
        n_ctx: context tokens M; a non-empty `ctx_init` sets it to the number of its tokens.
        ctx_init: words whose embeddings initialise the context; "" draws from N(0, 0.02^2).
        csc: one context per class. As in the reference, `ctx_init` switches it off.
        class_token_position: where the name stands among the context tokens.
    """

    needs = ("text_embeddings",)
    steady = True

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        n_ctx: Count = 4,
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
            shared = normal(len(classes), n_ctx, towers.text.width)
        self.ctx = shared
        self._orders: dict[tuple[str, ...], Moves] = {}  # of class lists, where names move

    def text_features(self, classes: ClassSet) -> Tensor:
        if self.csc and classes.names != self.classes.names:
            raise UserError(
                "class-specific context (csc=True) has no context for classes it was not trained "
                "on; use csc=False or a protocol without new classes"
            )
        text = self.towers.text
        tokens = text.tokens(prompted(classes.words, self.n_ctx, self.ctx_init))
        order = self._order(classes, tokens)

        def place(embedded: Tensor) -> Tensor:
            x = edits.replace(embedded, self.ctx)
            return x if order is None else edits.reorder(x, order)

        shared = order is None and not self.csc
        return unit(text.features(tokens, {0: edits.Alike(place) if shared else place}))

    def _order(self, classes: ClassSet, tokens: Tokens) -> Moves | None:
        """How prompts are reordered; None: the name stays behind the context."""
        if self.class_token_position == "end":
            return None
        if classes.names not in self._orders:
            before = self.n_ctx // 2 if self.class_token_position == "middle" else 0
            encode = self.towers.text.encode
            words = [len(encode(f"X {name}")) - len(encode("X")) for name in classes.words]
            x = tokens.embedded
            taken = reordered(self.n_ctx, before, words, x.shape[1])
            self._orders[classes.names] = Moves.of(taken, len(taken), x.device)
        return self._orders[classes.names]


class CoOp(CoOpNetwork):
    """CoOp; its parameters are those of `CoOpNetwork`."""

    title = "CoOp"
    paper = "arXiv 2109.01134"
    paradigm = "end-to-end"
    vit_b16_parameters = 2_048
    equations_from = "the paper, Eq. 2, 3; code KaiyangZhou/CoOp@ff61507"
    equals = "reference code"
