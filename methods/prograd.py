"""ProGrad (Zhu et al., arXiv 2205.14865): CoOp, whose gradient never turns against zero-shot CLIP.

Beside the cross-entropy there is the distance to the frozen model's prediction z of each image,

    L_kl = mean over the batch of -T^2 sum_c softmax(z / T)_c log softmax(logits / T)_c,

and with g = grad CE and h = grad L_kl / |grad L_kl|, of each parameter tensor as a whole, the
optimiser follows g where g . h >= 0 and g - LAMBDA (g . h) h elsewhere (Eq. 5, 6). L_kl itself adds
nothing to the update; momentum and weight decay act on what is followed.

Rulings: z has the text of `template`, which in the released files of some datasets puts the
category first ("a type of pet, a photo of a {}."), not the card's; a setting of the source. Without
noise the context starts from that template's words, which fill its LAST tokens; those before are
exactly zero. As in the code as many tokens are taken as there are words, so that of "a type of pet,
a photo of a", whose comma is a token, the last "a" is not learned and stays in front of the name.
The released code runs in fp32 or without a gradient scaler only; here the harness scales. Its files
are for ResNet-50.

Paradigm: end-to-end. Data beyond the few shots: none. It learns 8,192 parameters on ViT-B/16
(M = 16).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from promptbench.api import (
    ByShots,
    ClassSet,
    Count,
    GradientOf,
    Gradients,
    TextTower,
    Towers,
    UserError,
    Weight,
    unit,
)
from promptbench.methods.coop import CoOpNetwork

Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_END = " {}."


@dataclass(frozen=True)
class Taught:
    """Normalised text features [n_classes, embed_dim]: learned and frozen."""

    text: Tensor
    frozen: Tensor


class ProGrad(CoOpNetwork):
    """Prompt-aligned gradients.

    Args:
        n_ctx: context tokens M.
        template: of the frozen text features; "" is that of the dataset.
        ctx_init: start the context from the words of `template`, which then ends in " {}."; else
            from N(0, 0.02^2).
        csc, class_token_position: see `CoOpNetwork`; not with `ctx_init`.
        strength: LAMBDA; in gin also a table, {shots: LAMBDA}.
        temperature: T.

    Raises:
        UserError: a template that has not one place for the class name, or whose words cannot be
            what the context starts from.
    """

    title = "ProGrad"
    paper = "arXiv 2205.14865"
    paradigm = "end-to-end"
    vit_b16_parameters = 8_192
    equations_from = "the paper; code BeierZhu/Prompt-align@1b76203"
    equals = "reference code"

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        n_ctx: Count = 16,
        template: str = "a photo of a {}.",
        ctx_init: bool = True,
        csc: bool = False,
        class_token_position: Literal["end", "middle", "front"] = "end",
        strength: ByShots[Weight] = 1.0,
        temperature: Temperature = 1.0,
    ) -> None:
        own = {"csc": csc, "class_token_position": class_token_position}
        super().__init__(towers, classes, n_ctx=n_ctx, ctx_init="", **own)  # type: ignore[arg-type]
        around = template.split("{}")
        if template and (len(around) != 2 or set("{}") & set("".join(around))):
            wanted = "must have one {}, for the class name"
            raise UserError(f"ProGrad.template = {template!r} {wanted}")
        if isinstance(strength, dict):
            raise TypeError("the strength depends on the number of shots, which a plan knows")
        self.template, self.strength, self.temperature = template, strength, temperature
        if ctx_init:
            if csc or class_token_position != "end":
                raise UserError(
                    "ProGrad.ctx_init is for one context in front of the name; set it to False for "
                    "csc or another class_token_position"
                )
            words = _words(template or classes.template)
            self.ctx = _padded(towers.text, n_ctx, words)
            self.ctx_init = f"{'X ' * (n_ctx - len(words.split()))}{words}"  # what the prompts say

    def prepare(self, classes: ClassSet) -> Taught:
        text = self.towers.text
        taught = replace(classes, template=self.template or classes.template)
        with torch.no_grad():
            frozen = unit(text.features(text.tokens(taught.prompts)))
        return Taught(self.text_features(classes), frozen)

    def logits(self, images: Tensor, prepared: Taught) -> Tensor:
        return self.cosine_logits(self.image_features(images), prepared.text)

    def losses(self, images: Tensor, labels: Tensor, prepared: Taught) -> dict[str, Tensor]:
        features, t = self.image_features(images), self.temperature
        logits = self.cosine_logits(features, prepared.text)
        teacher = (self.cosine_logits(features, prepared.frozen) / t).softmax(dim=-1)
        distances = -(teacher * (logits / t).log_softmax(dim=-1)).sum(dim=-1)
        return {"ce": F.cross_entropy(logits, labels), "distill": t**2 * distances.mean()}

    @property
    def loss_weights(self) -> Mapping[str, float]:
        return {"distill": 0.0}

    def gradients(self, terms: Mapping[str, Tensor], gradient_of: GradientOf) -> Gradients:
        ce, general = gradient_of(terms["ce"]), gradient_of(terms["distill"])
        return {name: projected(ce[name], general[name], self.strength) for name in ce}


def projected(g: Tensor, general: Tensor, strength: float) -> Tensor:
    """g without (so much of) what of it points against the direction of `general`."""
    h = general / general.norm()
    along = (g * h).sum()
    return torch.where(along < 0, g - strength * along * h, g)


def _words(template: str) -> str:
    if not template.endswith(_END):
        raise UserError(
            f"ProGrad.ctx_init starts from the words before the name, with which {template!r} does "
            "not end; set ProGrad.template, or ProGrad.ctx_init = False"
        )
    return template.removesuffix(_END)


def _padded(text: TextTower, n_ctx: int, words: str) -> nn.Parameter:
    """Context [n_ctx, width]: zeros, then the first tokens of the words, one for each word."""
    count = len(words.split())
    if count > n_ctx:
        raise UserError(f"n_ctx = {n_ctx} is too few for the {count} words {words!r}")
    context = torch.zeros(n_ctx, text.width)
    context[n_ctx - count :] = text.embed(words)[:count].float()
    return nn.Parameter(context)
