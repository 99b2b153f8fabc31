"""ATPrompt on MaPLe (arXiv 2412.09442): universal attribute words before MaPLe's prompts.

Text block 1 sees [S_1][word 1] ... [S_a][word a][ctx][name][.]: before each of a fixed attribute
words, such as "color" and "shape", stand soft tokens S_j of their own. The prompts of blocks 2 to
`depth` replace the context tokens only; words and soft tokens flow on through all blocks. The image
tower's prompts are MaPLe's, maps of the context and of the deeper prompts.

A language model proposed the words, and a search on each dataset's training images chose among
them. The words of the source serve every target, new classes and other datasets: the released
code takes the target's own, with soft tokens that were learned for the source's. A source without
words of its own has ImageNet's. Oxford Pets' "playfulness" is two tokens for CLIP: here both are
read; with `one_token` all that follows it is off by one position, as in the released code.

Paradigm: end-to-end. Data beyond the few shots: attribute words of a language model. It learns
3,568,384 parameters on ViT-B/16 (4 + 4 tokens, 9 blocks, two words).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from promptbench.api import ClassSet, Count, Towers, edits, unit
from promptbench.methods._attributes import Attributes
from promptbench.methods._deep_prompts import text_prompt_edits
from promptbench.methods.maple import MaPLe


class ATPromptMaPLe(MaPLe):
    """Attribute words and multi-modal prompts.

    Args:
        n_ctx: prompt tokens per block, in both towers; the context of the first is random.
        n_att: soft tokens before each attribute word.
        depth: blocks with prompts of their own.
        attributes: the attribute words, one or more.
        one_token: count each word as one position, as the released code does (see above).
    """

    title = "MaPLe+ATPrompt"
    paper = "arXiv 2412.09442"
    paradigm = "end-to-end"
    extra_data = "attribute words of a language model"
    vit_b16_parameters = 3_568_384
    equations_from = "the paper; code zhengli97/ATPrompt@86980a1"
    equals = "reference code"

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        n_ctx: Count = 4,
        n_att: Count = 4,
        depth: Count = 9,
        attributes: Sequence[str] = ("color", "shape"),
        one_token: bool = False,
    ) -> None:
        super().__init__(towers, classes, n_ctx=n_ctx, depth=depth, ctx_init="")
        self.attributes = Attributes(towers.text, attributes, n_att, n_ctx, one_token)

    def text_features(self, classes: ClassSet) -> Tensor:
        text, attributes = self.towers.text, self.attributes
        changes = text_prompt_edits(self.prompts, attributes.start)
        changes[0] = edits.Alike(lambda x: attributes.placed(x, self.prompts[0]))
        return unit(text.features(text.tokens(attributes.prompted(classes.words)), changes))
