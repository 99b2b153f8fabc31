"""The naive path of any method that edits tokens: its own code, on towers that save nothing.

Every prompted pass runs over all positions of the context in all blocks of open_clip's own modules,
and frozen image features in a pass of their own at every step; only frozen text features are kept,
as references keep them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from promptbench.core.method import Method
from promptbench.models.deltas import Deltas
from promptbench.models.edits import Edits
from promptbench.models.towers import Capture, Tokens, Towers

Losses = tuple[dict[str, Tensor], Tensor]


class NoNaivePath(Exception):
    """What a method does with the towers has to be written out by hand."""


@dataclass
class Counted:
    """Token-blocks of a step, forward and backward: of the text tower and of the image tower."""

    of: dict[str, float] = field(default_factory=lambda: {"text": 0.0, "image": 0.0})


@contextmanager
def plain(towers: Towers, counted: Counted) -> Iterator[None]:
    """Inside the block both towers run as plain modules, and what they compute is counted.

    Raises:
        NoNaivePath: a pass that changes blocks.
    """
    for side, modules in (
        ("text", towers.model.transformer.resblocks),
        ("image", towers.model.visual.transformer.resblocks),
    ):
        tower: Any = getattr(towers, side)
        tower.features, tower.run = _passes(tower, modules, side, counted, towers.model)
    try:
        yield
    finally:
        for tower in (towers.text, towers.image):
            del tower.features, tower.run


def _passes(
    tower: Any, modules: Any, side: str, counted: Counted, model: Any
) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """`features` and `run` of a tower, plainly."""
    frozen = tower.features

    def whole(
        tokens: Tokens, edits: Edits, deltas: Deltas, capture: Capture | None = None
    ) -> Tensor:
        if deltas:
            raise NoNaivePath("it changes blocks")
        x = tokens.embedded
        used = x.shape[1]
        if side == "text":
            padding = model.token_embedding.weight[0].expand(
                len(x), tower.context_length - used, -1
            )
            x = torch.cat([x, padding], dim=1)
        length = x.shape[1]
        x = tower._start(edits[0](x) if 0 in edits else x)
        for number, module in enumerate(modules, 1):
            x = edits[number](x) if number in edits else x
            mask = None
            if side == "text":
                size = (x.shape[1], x.shape[1])
                mask = torch.full(size, -torch.inf, device=x.device).triu_(1)
            with _seen(module, number, capture):
                x = module(x, attn_mask=mask)
            counted.of[side] += len(x) * x.shape[1] * (2 if x.requires_grad else 1)
        last = len(modules) + 1
        x = edits[last](x) if last in edits else x
        return x[:, : used + x.shape[1] - length]

    def features(
        tokens: Tokens, edits: Edits | None = None, deltas: Deltas | None = None
    ) -> Tensor:
        if side == "text" and not edits and not deltas:
            kept: Tensor = frozen(tokens)
            return kept
        pooled: Tensor = tower.pool(whole(tokens, edits or {}, deltas or {}), tokens)
        return pooled

    def run(
        tokens: Tokens,
        edits: Edits | None = None,
        capture: Capture | None = None,
        leading: int | None = None,
        deltas: Deltas | None = None,
    ) -> Tensor:
        return whole(tokens, edits or {}, deltas or {}, capture)[:, :leading]

    return features, run


@contextmanager
def _seen(module: Any, number: int, capture: Capture | None) -> Iterator[None]:
    """Inside the block, a watched module notes its output and that of its attention."""
    if capture is None or number not in capture.blocks:
        yield
        return

    def attention(_: Any, __: Any, found: tuple[Tensor, Any]) -> None:
        capture.attention[number] = found[0]

    def output(_: Any, __: Any, found: Tensor) -> None:
        capture.outputs[number] = found

    hooks = module.attn.register_forward_hook(attention), module.register_forward_hook(output)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def losses(method: Method) -> tuple[Callable[[Tensor, Tensor], Losses], Counted]:
    """The terms and the loss of images and labels on plain towers, and what the calls of it have
    computed."""
    counted = Counted()

    def found(images: Tensor, labels: Tensor) -> Losses:
        with plain(method.towers, counted):
            shown = images.clone()  # images new to the towers
            terms = method.losses(shown, labels, method.prepare(method.classes))
            return terms, method.total(terms)

    return found, counted
