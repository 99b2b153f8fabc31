"""ATPrompt on CoOp (arXiv 2412.09442): universal attribute words among the context tokens.

The prompt is [S_1][word 1] ... [S_a][word a][ctx][name][.]: before each of a fixed attribute words,
such as "color" and "shape", stand soft tokens S_j of their own, and before the class name, as in
CoOp, context tokens; both are learned with the cross-entropy of logit_scale * cos(f_v, f_t).

A language model proposed the words, and a search on each dataset's training images chose among
them. The words of the source serve every target, new classes and other datasets: the released
code takes the target's own, with soft tokens that were learned for the source's. A source without
words of its own has ImageNet's. Oxford Pets' "playfulness" is two tokens for CLIP: here both are
read; with `one_token` all that follows it is off by one position, as in the released code.

Paradigm: end-to-end. Data beyond the few shots: attribute words of a language model. It learns
3,072 parameters on ViT-B/16 (2 + 2 tokens, two words).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from promptbench.api import ClassSet, Count, Towers, edits, unit
from promptbench.methods._attributes import Attributes
from promptbench.methods._context import context
from promptbench.methods._cosine import CosineMethod


class ATPromptCoOp(CosineMethod):
    """Attribute words and context tokens.

    Args:
        n_ctx: context tokens before the class name.
        n_att: soft tokens before each attribute word.
        attributes: the attribute words, one or more.
        one_token: count each word as one position, as the released code does (see above).
    """

    title = "CoOp+ATPrompt"
    paper = "arXiv 2412.09442"
    paradigm = "end-to-end"
    needs = ("text_embeddings",)
    extra_data = "attribute words of a language model"
    vit_b16_parameters = 3_072
    equations_from = "the paper; code zhengli97/ATPrompt@86980a1"
    equals = "reference code"
    steady = True

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        n_ctx: Count = 2,
        n_att: Count = 2,
        attributes: Sequence[str] = ("color", "shape"),
        one_token: bool = False,
    ) -> None:
        super().__init__(towers, classes)
        self.ctx = context(towers.text, n_ctx, "")
        self.attributes = Attributes(towers.text, attributes, n_att, n_ctx, one_token)

    def text_features(self, classes: ClassSet) -> Tensor:
        text = self.towers.text
        tokens = text.tokens(self.attributes.prompted(classes.words))
        placed = edits.Alike(lambda x: self.attributes.placed(x, self.ctx))
        return unit(text.features(tokens, {0: placed}))
