"""The linear head that a method comes to over fixed classes, where it comes to one.

Nothing is assumed of a method. It is asked for logits of image features that nobody has computed:
the frozen tower answers with them, as it does with cached features of a test set. Where the method
reads nothing else, and its answers are linear in them, the head follows from unit vectors exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from promptbench.core.method import ClassSet
from promptbench.errors import UserError
from promptbench.isolation.entering import enter
from promptbench.models.deltas import Deltas
from promptbench.models.edits import Edits
from promptbench.running.lab.calling import evaluating
from promptbench.using.predictor import Predictor

_AT_ONCE = 64  # features that are asked for together
_TOLERANCE = 1e-4  # of the largest logit: sums in float32
_TRIALS = 16

Probe = Callable[[Tensor], Tensor]  # image features [n, embed_dim] -> logits [n, n_classes]


@dataclass(frozen=True)
class Head:
    """Logits weight f + bias, of L2-normalised image features f if `normalised`, else of features
    as the encoder gives them; [n_classes, embed_dim] and [n_classes], float32 on the CPU."""

    weight: Tensor
    bias: Tensor
    normalised: bool

    def __call__(self, features: Tensor) -> Tensor:
        """Logits [n, n_classes] of features as the encoder gives them."""
        own = torch.nn.functional.normalize(features, dim=-1) if self.normalised else features
        return own @ self.weight.to(own.device).T + self.bias.to(own.device)


def head_of(model: Predictor, classes: ClassSet) -> Head:
    """The head over `classes` of a method whose inference is plain.

    Raises:
        UserError: the method changes the image tower, or its logits are not linear in the frozen
            image features; says which.
    """
    title = model.title
    probe = _probe(model, classes)
    width = model.opened.backbone.towers.embed_dim
    generator = torch.Generator().manual_seed(0)
    some = torch.nn.functional.normalize(torch.randn(_TRIALS, width, generator=generator), dim=-1)
    bias = probe(torch.zeros(1, width))[0]
    own, scaled = probe(some) - bias, probe(3 * some) - bias
    tolerance = _TOLERANCE * float(own.abs().max())
    if tolerance == 0.0:
        raise UserError(_refusal(title, "its logits do not follow from the frozen image features"))
    if torch.allclose(own, scaled, rtol=0, atol=3 * tolerance):
        normalised = True
    elif torch.allclose(3 * own, scaled, rtol=0, atol=3 * tolerance):
        normalised = False
    else:
        raise UserError(_refusal(title, "its logits are not linear in the image features"))
    both = some[::2] + some[1::2]
    expected = own[::2] + own[1::2]
    if normalised:
        expected = expected / both.norm(dim=-1, keepdim=True)
    if not torch.allclose(probe(both) - bias, expected, rtol=0, atol=3 * tolerance):
        raise UserError(_refusal(title, "its logits are not linear in the image features"))
    units = torch.eye(width).split(_AT_ONCE)
    weight = torch.cat([probe(rows) - bias for rows in units]).T.contiguous()
    return Head(weight, bias.clone(), normalised)


def _refusal(title: str, reason: str) -> str:
    return (
        f"{title} cannot be exported as class rows over the frozen image encoder: {reason}; use it "
        "through promptbench.load"
    )


def _probe(model: Predictor, classes: ClassSet) -> Probe:
    """Asks the method for logits of features that its frozen image tower is said to give."""
    opened = model.opened
    tower, compute, method = opened.backbone.towers.image, opened.compute, opened.method
    ready = enter(evaluating, compute, method.prepare, classes)
    size = opened.backbone.preprocess.size

    def refuse(edits: Edits, deltas: Deltas) -> Edits:
        raise UserError(_refusal(model.title, "it changes what happens inside the image encoder"))

    def probe(features: Tensor) -> Tensor:
        images = torch.zeros(len(features), 3, size, size, device=compute.device)
        # Remembered while these images live, so that the method is given the same.
        tokens = evaluating(compute, tower.tokens, images)
        tokens.pooled = features.to(compute.device)
        with tower.observed(refuse):
            found: Tensor = enter(evaluating, compute, method.logits, images, ready)
        return found.float().cpu().clone()

    return probe
