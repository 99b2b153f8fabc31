"""A training step as the reference implementations compute it, from plain open_clip calls.

Full context length, every block, nothing cached or shared, the frozen image features in a pass of
their own; only the frozen text features, which the references keep too, are computed beforehand. A
method's learnables are the method's own, so that both paths must give one loss and one gradient. A
method without a path here runs its own code on the plain towers of `naive_edits`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import naive_deltas, naive_edits
from promptbench.core.method import Method, unit

Loss = Callable[[Tensor, Tensor], Tensor]
Losses = naive_edits.Losses


@dataclass(frozen=True)
class Naive:
    """The naive loss of a method, and the token-blocks that a step of it computes per class and
    per image, forward and backward: (text, image). `terms` are those of a method's own code, from
    which it may make its gradient."""

    loss: Loss
    work: Callable[[int, int], tuple[float, float]]
    terms: Callable[[Tensor, Tensor], Losses] | None = None

    def losses(self, images: Tensor, labels: Tensor) -> Losses:
        """The terms, as far as they are known, and the loss."""
        return self.terms(images, labels) if self.terms else ({}, self.loss(images, labels))


def build(name: str, method: Method, images: Tensor, labels: Tensor) -> Naive | None:
    """The naive path of a method: the one that is written for it, else its own code on plain
    towers; None where neither is possible.

    The images and labels are those of one step, in which the work of plain towers is counted.
    """
    if name in _PATHS:
        return _PATHS[name](method)
    terms, counted = naive_edits.losses(method)
    try:
        terms(images, labels)
    except naive_edits.NoNaivePath:
        return None
    text, image = counted.of["text"] / len(method.classes), counted.of["image"] / len(images)
    return Naive(lambda *batch: terms(*batch)[1], lambda *_: (text, image), terms)


def _ids(method: Method, texts: list[str]) -> Tensor:
    """Token ids [n, 77], where the weights are."""
    return method.towers.text.token_ids(texts).to(method.towers.device)


def _tokens(method: Method, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Token embeddings [n, 77, width] and EOT positions [n]."""
    model, ids = method.towers.model, _ids(method, texts)
    return model.token_embedding(ids), ids.argmax(dim=-1)


def _causal(length: int, like: Tensor) -> Tensor:
    return torch.full((length, length), float("-inf"), device=like.device).triu_(1)


def _text_features(method: Method, x: Tensor, ends: Tensor) -> Tensor:
    model = method.towers.model
    rows = torch.arange(len(x), device=x.device)
    return unit(model.ln_final(x)[rows, ends] @ model.text_projection)


def _visual_end(method: Method, x: Tensor) -> Tensor:
    return method.towers.model.visual.ln_post(x)


def _coop(method: Any) -> Naive:
    model, n = method.towers.model, len(method.ctx)
    texts = [f"{method.ctx_init} {name}." for name in method.classes.words]

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            x, ends = _tokens(method, texts)
            image = unit(model.encode_image(images))
        ctx = method.ctx.expand(len(x), -1, -1)
        x = torch.cat([x[:, :1], ctx, x[:, 1 + n :]], dim=1) + model.positional_embedding
        x = model.transformer(x, attn_mask=model.attn_mask)
        text = _text_features(method, x, ends)
        return F.cross_entropy(model.logit_scale.exp() * image @ text.T, labels)

    return Naive(loss, lambda blocks, patches: (77 * 2.0 * blocks, 1.0 * blocks * patches))


def _maple(method: Any) -> Naive:
    model, (depth, n) = method.towers.model, method.prompts.shape[:2]
    visual = model.visual
    texts = [f"{method.ctx_init} {name}." for name in method.classes.words]

    def text_features() -> Tensor:
        x, ends = _tokens(method, texts)
        for i, block in enumerate(model.transformer.resblocks):
            if i < depth:
                new = method.prompts[i].expand(len(x), -1, -1)
                x = torch.cat([x[:, :1], new, x[:, 1 + n :]], dim=1)
            if i == 0:
                x = x + model.positional_embedding
            x = block(x, attn_mask=model.attn_mask)
        return _text_features(method, x, ends)

    def image_features(images: Tensor) -> Tensor:
        x = visual.conv1(images).flatten(2).transpose(1, 2)
        cls = visual.class_embedding.expand(len(x), 1, -1)
        x = torch.cat([cls, x], dim=1) + visual.positional_embedding
        prompts = method.image_prompts()
        for i, block in enumerate(visual.transformer.resblocks):
            if i < depth:
                kept = x if i == 0 else x[:, :-n]
                x = torch.cat([kept, prompts[i].expand(len(x), -1, -1)], dim=1)
            if i == 0:
                x = visual.ln_pre(x)
            x = block(x)
        return unit(_visual_end(method, x)[:, 0] @ visual.proj)

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        logits = model.logit_scale.exp() * image_features(images) @ text_features().T
        return F.cross_entropy(logits, labels)

    return Naive(loss, lambda blocks, patches: (77 * 2.0 * blocks, 2.0 * blocks * (patches + n)))


def _representation(method: Any) -> Naive:
    n, first = method.n_tokens, method.layers[0]
    prompts = _ids(method, list(method.classes.prompts))
    with torch.no_grad():
        frozen_text = unit(method.towers.model.encode_text(prompts))

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        text = _representation_text(method)
        with torch.no_grad():
            frozen = unit(method.towers.model.encode_image(images))
        cls, rep, gaps = _representation_image(method, images)
        terms = {
            "ce_class": F.cross_entropy(100 * unit(cls) @ text.T, labels),
            "ce_rep": F.cross_entropy(100 * unit(rep) @ text.T, labels),
            "reg_image": 1 - (unit(cls) * frozen).sum(dim=-1).mean(),
            "reg_text": 1 - (text * frozen_text).sum(dim=-1).mean(),
            "token_norm": torch.stack(gaps).mean(),
            "proj_norm": (rep.norm(dim=-1) - cls.norm(dim=-1).detach()).abs().mean(),
        }
        return method.total({k: v for k, v in terms.items() if k in _terms_of(method)})

    def work(blocks: int, patches: int) -> tuple[float, float]:
        below, above = first - 1, blocks - first + 1
        text = 77 * below + (77 + n) * above * 2
        image = patches * blocks + patches * below + (patches + n) * above * 2
        return float(text), float(image)

    return Naive(loss, work)


def _edited(method: Any, x: Tensor, number: int, tokens: dict[int, Tensor]) -> Tensor:
    """A block's input with the representation tokens put in, or mixed with what stands there."""
    if number not in tokens:
        return x
    n, new = method.n_tokens, tokens[number].expand(len(x), -1, -1)
    if number == method.layers[0]:
        return torch.cat([x[:, :1], new, x[:, 1:]], dim=1)
    mixed = method.beta * new + (1 - method.beta) * x[:, 1 : 1 + n]
    return torch.cat([x[:, :1], mixed, x[:, 1 + n :]], dim=1)


def _representation_text(method: Any) -> Tensor:
    """Features of the method's own classes."""
    model = method.towers.model
    x, ends = _tokens(method, list(method.classes.prompts))
    x = x + model.positional_embedding
    tokens = dict(zip(method.layers, method.text_tokens(), strict=True))
    for number, block in enumerate(model.transformer.resblocks, 1):
        x = _edited(method, x, number, tokens)
        x = block(x, attn_mask=_causal(x.shape[1], x))
    return _text_features(method, x, ends + method.n_tokens)


def _representation_image(method: Any, images: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Projected class and representation tokens, and per block the gaps of norms to CLS."""
    visual, n = method.towers.model.visual, method.n_tokens
    x = visual._embeds(images)
    tokens = dict(zip(method.layers, method.image_tokens(), strict=True))
    gaps = []
    for number, block in enumerate(visual.transformer.resblocks, 1):
        x = block(_edited(method, x, number, tokens))
        if number in tokens:
            norms = x[:, : 1 + n].norm(dim=-1).mean(dim=0)
            gaps.append((norms[1:] - norms[:1].detach()).abs())
    x = _visual_end(method, x)
    return x[:, 0] @ visual.proj, x[:, 1 : 1 + n].mean(dim=1) @ method.rep_projection(), gaps


def _terms_of(method: Any) -> set[str]:
    """The loss terms that a method of the family has."""
    return {"ce_class", "ce_rep", "reg_image", "reg_text", *method.loss_weights}


def _cliplora(method: Any) -> Naive:
    return Naive(naive_deltas.cliplora(method), _every_block)


def _twosfs(method: Any) -> Naive:
    return Naive(naive_deltas.twosfs(method), _every_block)


def _every_block(blocks: int, patches: int) -> tuple[float, float]:
    return 77 * 2.0 * blocks, 2.0 * blocks * patches


def _mma(method: Any) -> Naive:
    below = method.numbers[0] - 1  # blocks that no gradient passes

    def work(blocks: int, patches: int) -> tuple[float, float]:
        passed = 2.0 * blocks - below
        return 77 * passed, patches * passed

    return Naive(naive_deltas.mma(method), work)


_PATHS: dict[str, Callable[[Any], Naive]] = {
    "coop": _coop,
    "maple": _maple,
    "mmrlpp": _representation,
    "alignednorm": _representation,
    "cliplora": _cliplora,
    "mma": _mma,
    "twosfs": _twosfs,
}
