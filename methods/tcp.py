"""TCP (Yao et al., arXiv 2311.18231): textual-based class-aware prompts.

The prompt has context tokens at positions 1..n, learned as in CoOp. Right before text block 9 they
are replaced by tokens of the class, T_c = W2 QuickGELU(W1 w_c + b1) + b2, of a network that all
classes share; w_c is the frozen text feature of class c, of unit length. Classes that were not
trained on have theirs from their names. The loss is CE + W (1 - mean cos(f_t, w_c)), over the
cosines with the frozen image features.

Two sentences say a class's name. The frozen one is the dataset's template; of DTD, Food-101 and
FGVC-Aircraft the released code has another one, which is taken where the source is also what is
scored. The prompt is the dataset's template with its opening ("a photo of a") replaced by the
context: "X X X X {name}, a type of pet.", "X X X X {name} texture.", "X X X X person doing
{name}."; what else the template says, it says. The released sentences differ only for Stanford
Cars ("X X X X {name}, a type of car"). The released script loads epoch 25 of 50 for ImageNet and
SUN397; here as everywhere the last epoch counts.

Paradigm: end-to-end. Data beyond the few shots: none. It learns 331,904 parameters on ViT-B/16
(4 tokens).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from promptbench.api import ClassSet, Count, Edit, Tokens, Towers, UserError, edits, unit
from promptbench.methods._context import context, reopened
from promptbench.methods._guided import Guided, GuidedMethod, one_place


@dataclass(frozen=True)
class GuidedRaw(Guided):
    """The same, and the learned features as the tower gives them, float32."""

    raw: Tensor


class TCPNetwork(GuidedMethod):
    """Class-aware prompts.

    Args:
        n_ctx: context tokens; a non-empty `ctx_init` sets it to the number of its tokens.
        ctx_init: words whose embeddings initialise the context; "" draws from N(0, 0.02^2).
        n_tokens: tokens of a class, which replace the first `n_ctx` ones.
        block: the text block before which they do.
        reduction: embedding width over hidden width of the network.
        prompt: sentence of all classes, such as "a photo of a {}.", whose first `n_ctx` tokens
            the context takes the place of; "" is the dataset's template, opened by the context.
        guided: weight and template of the distance to the frozen features, see `GuidedMethod`.

    Raises:
        UserError: a block that the tower has not, more tokens of a class than of the context, or a
            prompt without room for the context before its one place for the class name.
    """

    needs = ("text_embeddings", "text_blocks")

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        n_ctx: Count = 4,
        ctx_init: str = "",
        n_tokens: Count = 4,
        block: Count = 9,
        reduction: Count = 4,
        prompt: str = "",
        **guided: Any,
    ) -> None:
        super().__init__(towers, classes, **guided)
        text, name = towers.text, type(self).__name__
        self.ctx = context(text, n_ctx, ctx_init)
        self.n_tokens, self.block = n_tokens, block
        if n_tokens > len(self.ctx):
            raise UserError(
                f"{name}.n_tokens = {n_tokens}: the tokens of a class take the place of the "
                f"context, which has {len(self.ctx)}; more of them would cover the class name"
            )
        if block > text.n_blocks:
            raise UserError(f"{name}.block = {block}: the text tower has {text.n_blocks} blocks")
        self.prompt = prompt and one_place(prompt, f"{name}.prompt")
        room = len(text.encode(prompt.partition("{}")[0].rpartition(" ")[0]))
        if prompt and room < len(self.ctx):
            raise UserError(
                f"{name}.prompt = {prompt!r}: the context takes the place of {len(self.ctx)} "
                f"tokens before the class name, and there are {room}"
            )
        hidden = max(towers.embed_dim // reduction, 1)
        self.down = nn.Linear(towers.embed_dim, hidden)
        self.up = nn.Linear(hidden, n_tokens * text.width)

    def class_tokens(self, frozen: Tensor) -> Tensor:
        """T_c [n_classes, n_tokens, text width] of frozen features [n_classes, embed_dim]."""
        hidden: Tensor = self.down(frozen)
        tokens: Tensor = self.up(hidden * (1.702 * hidden).sigmoid())
        return tokens.view(len(frozen), self.n_tokens, -1)

    def prompted(self, classes: ClassSet) -> Tokens:
        """The frozen tokens of the prompts, whose first positions the context takes."""
        sentence = self.prompt or reopened(classes.template, len(self.ctx))
        return self.towers.text.tokens(replace(classes, template=sentence).prompts)

    def prepare(self, classes: ClassSet) -> GuidedRaw:
        frozen = self.frozen_text(classes)
        changes: dict[int, Edit] = {
            0: edits.Alike(lambda x: edits.replace(x, self.ctx)),
            self.block: lambda x: edits.replace(x, self.class_tokens(frozen)),
        }
        raw = self.towers.text.features(self.prompted(classes), changes).float()
        return GuidedRaw(unit(raw), frozen, raw)

    def text_features(self, classes: ClassSet) -> Tensor:
        return self.prepare(classes).text


class TCP(TCPNetwork):
    """TCP; its parameters are those of `TCPNetwork`."""

    title = "TCP"
    paper = "arXiv 2311.18231"
    paradigm = "end-to-end"
    vit_b16_parameters = 331_904
    equations_from = "the paper; code htyao89/Textual-based_Class-aware_prompt_tuning@bd97bec"
    equals = "reference code"
