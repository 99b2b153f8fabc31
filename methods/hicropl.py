"""HiCroPL (Zheng et al., arXiv 2507.14976): deep prompts of both towers that learn from each other.

Both towers have n prompts in each of their first D blocks, T_i and V_i, as IVLP. In blocks 1 to k
the image prompts follow from the text prompts, in blocks k + 1 to D the text prompts from the image
prompts:

    p_i = LN2(q_i + MHA(LN1 q_i, LN1 P_i, LN1 P_i))                 a proxy of the prompts P_i
    x = L_q(X) + MHA(LN1 L_q(X), LN1 L_k(p), LN1 L_v(p)),  X' = x + FFN(LN2 x)

X are all prompts of the target's blocks, in one sequence, and X' what enters them; p are the
proxies of the source's raw prompts. Features are fused with frozen ones, g = unit(unit(f) + z),
where z_v is of the same picture and z_t the mean over sentences about the class. Logits are
logit_scale * cos(g_v, g_t), the loss is CE + w (2 - mean cos(g_t, z_t) - mean cos(g_v, z_v)).

Paradigm: end-to-end. Data beyond the few shots: class texts, those of new classes among them; the
paper's are a language model's. It learns 33,431,040 parameters on ViT-B/16 (n 16, k 6, D 12).

As released (`as_released`): the code writes X' over X outside of autograd, at every forward pass.
Mappers, poolings and queries get no gradient and stay as they were drawn, and a step moves what was
written; 245,760 parameters are learned. Its evaluation goes on writing, so that an image's logits
hang on how many batches came before it, which no method may do here: a training step writes, and
evaluation takes, for every image, what the first pass after the last step would write.

The paper's numbers are of the epoch that is best on validation images (of ImageNet: on the test
set); here the protocol's rule holds, the last epoch.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.api import (
    ClassSet,
    Count,
    Towers,
    UserError,
    Weight,
    full_precision,
    normal,
    unit,
)
from promptbench.methods._class_texts import FrozenSentences
from promptbench.methods._context import prompted
from promptbench.methods._cosine import CosineMethod
from promptbench.methods._deep_prompts import (
    image_prompt_edits,
    text_prompt_edits,
    text_prompts,
    usable_init,
)

_HEADS = 8


@dataclass(frozen=True)
class Prepared:
    """Fused and frozen text features [n_classes, embed_dim], and the image tower's prompts
    [depth, n_ctx, width]."""

    text: Tensor
    frozen: Tensor
    image_prompts: Tensor


class HiCroPL(CosineMethod):
    """Hierarchical cross-modal prompt learning.

    Args:
        n_ctx: prompt tokens per block, in both towers (n).
        depth: blocks with prompts of their own (D).
        cross_layer: the last block in which image prompts follow from text prompts (k < D).
        w_distance: weight of the distances to the frozen features.
        ctx_init: fixed words before a class name, whose first `n_ctx` initialise block 1; with
            fewer words than tokens (or "") the context is random and the words are placeholders.
        as_released: write prompts over in training as the released code does; see the module.

    Raises:
        UserError: a `cross_layer` that leaves no block to one direction; a width that eight heads
            do not divide.
    """

    title = "HiCroPL"
    paper = "arXiv 2507.14976"
    paradigm = "end-to-end"
    extra_data = "class texts"
    class_texts = True
    vit_b16_parameters = 33_431_040

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        n_ctx: Count = 16,
        depth: Count = 12,
        cross_layer: Count = 6,
        w_distance: Weight = 12.0,
        ctx_init: str = "a photo of a",
        as_released: bool = False,
    ) -> None:
        super().__init__(towers, classes)
        if cross_layer >= depth:
            raise UserError(
                f"HiCroPL.cross_layer = {cross_layer} must be below HiCroPL.depth = {depth}: both "
                "directions need a block"
            )
        text, image = towers.text, towers.image
        self.cross_layer, self.w_distance, self.as_released = cross_layer, w_distance, as_released
        self.ctx_init = usable_init(text, n_ctx, ctx_init)
        self.text_prompts = text_prompts(text, depth, n_ctx, self.ctx_init)
        self.image_prompts = nn.Parameter(normal(n_ctx, image.width).data.repeat(depth, 1, 1))
        self.of_text = Pooling(cross_layer, text.width)
        self.of_image = Pooling(depth - cross_layer, image.width)
        self.to_image = Mapper(text.width, image.width)
        self.to_text = Mapper(image.width, text.width)
        if as_released:
            for part in (self.of_text, self.of_image, self.to_image, self.to_text):
                _freeze(part)
        self._frozen_text = FrozenSentences(text, self.title)

    def mapped(self) -> tuple[Tensor, Tensor]:
        """X' of both directions: image prompts of blocks 1 to k, text prompts of k + 1 to D."""
        k = self.cross_layer
        with full_precision(self.text_prompts):
            to_image = self.to_image(self.image_prompts[:k], self.of_text(self.text_prompts[:k]))
            to_text = self.to_text(self.text_prompts[k:], self.of_image(self.image_prompts[k:]))
        return to_image, to_text

    @torch.no_grad()
    def write(self) -> None:
        """Replace prompts by what they are mapped to, as a forward pass of the released code."""
        to_image, to_text = self.mapped()
        self.image_prompts[: self.cross_layer] = to_image
        self.text_prompts[self.cross_layer :] = to_text

    def prompts(self) -> tuple[Tensor, Tensor]:
        """What enters the blocks of the text and of the image tower, [depth, n_ctx, width]."""
        if self.as_released and self.training and torch.is_grad_enabled():
            self.write()  # a step then moves what was written
            return self.text_prompts, self.image_prompts
        k, (to_image, to_text) = self.cross_layer, self.mapped()
        return (
            torch.cat([self.text_prompts[:k], to_text]),
            torch.cat([to_image, self.image_prompts[k:]]),
        )

    def prepare(self, classes: ClassSet) -> Prepared:
        of_text, of_image = self.prompts()
        text, frozen = self.towers.text, self._frozen_text(classes)
        tokens = text.tokens(prompted(classes.words, of_text.shape[1], self.ctx_init))
        features = text.features(tokens, text_prompt_edits(of_text))
        return Prepared(_fused(features, frozen), frozen, of_image)

    def both_features(self, images: Tensor, prepared: Prepared) -> tuple[Tensor, Tensor]:
        """Fused and frozen image features, [batch, embed_dim] both."""
        image = self.towers.image
        tokens = image.tokens(images)
        with torch.no_grad():
            frozen = unit(image.features(tokens))
        features = image.features(tokens, image_prompt_edits(prepared.image_prompts))
        return _fused(features, frozen), frozen

    def text_features(self, classes: ClassSet) -> Tensor:
        return self.prepare(classes).text

    def logits(self, images: Tensor, prepared: Prepared) -> Tensor:
        return self.cosine_logits(self.both_features(images, prepared)[0], prepared.text)

    def losses(self, images: Tensor, labels: Tensor, prepared: Prepared) -> dict[str, Tensor]:
        features, frozen = self.both_features(images, prepared)
        return {
            "ce": F.cross_entropy(self.cosine_logits(features, prepared.text), labels),
            "reg_text": _distance(prepared.text, prepared.frozen),
            "reg_image": _distance(features, frozen),
        }

    @property
    def loss_weights(self) -> Mapping[str, float]:
        return {"reg_text": self.w_distance, "reg_image": self.w_distance}


class Pooling(nn.Module):
    """A proxy token p_i for the prompts of each block; each block has a network of its own.

    Networks and queries start as copies of one.
    """

    def __init__(self, blocks: int, width: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, 1, width).repeat(blocks, 1, 1))
        first = _Attention(width)
        self.nets = nn.ModuleList(copy.deepcopy(first) for _ in range(blocks))

    def forward(self, prompts: Tensor) -> Tensor:
        """Return proxies [blocks, width] of prompts [blocks, n_ctx, width]."""
        parts = zip(self.nets, self.queries, prompts, strict=True)
        return torch.cat([net(query, own, own)[1] for net, query, own in parts])


class Mapper(nn.Module):
    """Prompts of one tower from proxies of the other's; no path leaves them as they are."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        self.linear_q = nn.Linear(target, target)
        self.linear_k = nn.Linear(source, target)
        self.linear_v = nn.Linear(source, target)
        self.net = _Attention(target)
        self.up, self.down = nn.Linear(target, 4 * target), nn.Linear(4 * target, target)

    def forward(self, prompts: Tensor, proxies: Tensor) -> Tensor:
        """Return X' [blocks, n_ctx, target] of X, prompts of that shape, and of proxies
        [others, source]."""
        queries = self.linear_q(prompts.flatten(0, 1))
        x, normed = self.net(queries, self.linear_k(proxies), self.linear_v(proxies))
        hidden: Tensor = self.up(normed)
        mapped: Tensor = x + self.down(hidden * torch.sigmoid(1.702 * hidden))  # QuickGELU
        return mapped.view_as(prompts)


class _Attention(nn.Module):
    """x = q + MHA(LN1 q, LN1 k, LN1 v) of rows [n, width], and LN2 x."""

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % _HEADS:
            raise UserError(
                f"HiCroPL attends with {_HEADS} heads, which do not divide this backbone's width "
                f"of {width}"
            )
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, _HEADS)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        normed = (self.ln_1(rows) for rows in (query, key, value))
        x = query + self.attn(*normed, need_weights=False)[0]
        return x, self.ln_2(x)


def _fused(features: Tensor, frozen: Tensor) -> Tensor:
    """unit(unit(f) + z)."""
    return unit(unit(features) + frozen)


def _distance(features: Tensor, frozen: Tensor) -> Tensor:
    """1 - mean cosine of normalised features."""
    return 1 - (features * frozen).sum(dim=-1).mean()


def _freeze(module: nn.Module) -> None:
    """Keep a module's parameters as buffers: drawn, stored, and never learned."""
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, parameter.data)
