"""Shared part: representation tokens in both towers (the MMRL family).

A shared bank R of K tokens is mapped into the width of each tower, once per block of a set J, and
stands right after SOT or CLS from the first block of J on. The image side gives two features: the
class feature f_c (CLS through the frozen projection W) and the representation feature f_r (mean of
the normed representation tokens through a trainable projection W_r).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from promptbench.api import (
    Capture,
    ClassSet,
    Count,
    Edit,
    Method,
    Share,
    Shift,
    Tokens,
    Towers,
    Weight,
    edits,
    full_precision,
    normal,
    unit,
)

Blocks = Annotated[Sequence[Count], Field(min_length=1)]
LOGIT_SCALE = 100.0  # the family fixes it instead of reading the pretrained scale


def low_rank(rows: int, rank: int, columns: int) -> tuple[Tensor, Tensor]:
    """Initial factors: A [rows, rank] Kaiming-uniform (a = sqrt(5)), Z [rank, columns] = 0."""
    a = torch.empty(rows, rank)
    nn.init.kaiming_uniform_(a, a=math.sqrt(5))
    return a, torch.zeros(rank, columns)


class SharedResidualAligner(nn.Module):
    """SRRA (MMRL++): token_i = (S + A_i Z_i) R + b_i, a shared weight, a residual per block."""

    def __init__(self, d_in: int, d_out: int, n_layers: int, rank: int) -> None:
        super().__init__()
        start = nn.Linear(d_in, d_out)
        factors = [low_rank(d_out, rank, d_in) for _ in range(n_layers)]
        self.shared = nn.Parameter(start.weight.detach().clone())
        self.bias = nn.Parameter(start.bias.detach().repeat(n_layers, 1))
        self.A = nn.Parameter(torch.stack([a for a, _ in factors]))
        self.Z = nn.Parameter(torch.stack([z for _, z in factors]))

    def forward(self, bank: Tensor) -> Tensor:
        """Tokens [n_layers, K, d_out] from the bank R [K, d_in]."""
        weights = self.shared + self.A @ self.Z
        return bank @ weights.mT + self.bias.unsqueeze(1)


@dataclass(frozen=True)
class Prepared:
    """Normalised text features [n_classes, embed_dim], with and without the tokens."""

    text: Tensor
    frozen: Tensor


@dataclass(frozen=True)
class ImageFeatures:
    """Features of a batch before L2 normalisation: [batch, embed_dim] after the projection,
    [batch, width] after ln_post and before it (`*_normed`)."""

    cls: Tensor
    rep: Tensor
    cls_normed: Tensor
    rep_normed: Tensor


class RepresentationMethod(Method):
    """The network, the unified inference rule and the losses that the family shares.

    Loss (MMRL, Eq. 10): alpha CE(f_c) + (1 - alpha) CE(f_r) + lambda (1 - cos(f_c, f_c0))
    + lambda (1 - cos(f_t, f_t0)), where 0 marks the frozen model's features of the same images
    (same augmentation) and class prompts.

    Args:
        alpha: weight of the class feature's loss and logits.
        reg_weight: lambda, weight of both regularisers toward the frozen model.
        n_tokens: representation tokens K.
        token_dim: width d_r of the shared bank.
        layers: the blocks J, counted from 1, that receive tokens; gaps are legal.
    """

    needs = ("image_blocks", "image_cls", "text_blocks")
    steady = True

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        alpha: Share = 0.7,
        reg_weight: Weight = 1.0,
        n_tokens: Count = 5,
        token_dim: Count = 512,
        layers: Blocks = (6, 7, 8, 9, 10, 11, 12),
    ) -> None:
        super().__init__(towers, classes)
        self.alpha, self.reg_weight = alpha, reg_weight
        self.n_tokens, self.layers = n_tokens, tuple(sorted(layers))
        self.bank = normal(n_tokens, token_dim)

    @abstractmethod
    def text_tokens(self) -> Tensor:
        """Text tokens [n_layers, K, text width]."""

    @abstractmethod
    def image_tokens(self) -> Tensor:
        """Image tokens [n_layers, K, vision width]."""

    @abstractmethod
    def rep_projection(self) -> Tensor:
        """W_r, [vision width, embed_dim]."""

    @abstractmethod
    def compose(self, sequence: Tensor, tokens: Tensor) -> Tensor:
        """What a later block of J sees, given what the previous block put out."""

    def _edits(self, tokens: Tensor) -> dict[int, Edit]:
        table: dict[int, Edit] = {}
        for block, new in zip(self.layers, tokens, strict=True):
            first = block == self.layers[0]
            table[block] = edits.Alike(partial(edits.insert if first else self.compose, tokens=new))
        return table

    def prepare(self, classes: ClassSet) -> Prepared:
        text = self.towers.text
        tokens = text.tokens(classes.prompts)
        with torch.no_grad():
            frozen = unit(text.features(tokens))
        return Prepared(unit(text.features(tokens, self._edits(self.text_tokens()))), frozen)

    def image_features(self, tokens: Tokens, capture: Capture | None = None) -> ImageFeatures:
        """Both features of images given by their frozen tokens."""
        image = self.towers.image
        reading = 1 + self.n_tokens  # CLS and the representation tokens
        hidden = image.run(tokens, self._edits(self.image_tokens()), capture, leading=reading)
        normed = image.normed(hidden)
        cls, rep = normed[:, 0], normed[:, 1:].mean(dim=1)
        return ImageFeatures(cls @ image.projection, rep @ self.rep_projection(), cls, rep)

    def embed_images(self, images: Tensor) -> Tensor:
        return unit(self.image_features(self.towers.image.tokens(images)).cls)

    def embed_classes(self, classes: ClassSet) -> Tensor:
        return self.prepare(classes).text

    def _both_logits(self, features: ImageFeatures, prepared: Prepared) -> tuple[Tensor, Tensor]:
        text = prepared.text.T
        with full_precision(text):
            return LOGIT_SCALE * unit(features.cls) @ text, LOGIT_SCALE * unit(features.rep) @ text

    def logits(self, images: Tensor, prepared: Prepared) -> Tensor:
        features = self.image_features(self.towers.image.tokens(images))
        of_class, of_rep = self._both_logits(features, prepared)
        return self.alpha * of_class + (1 - self.alpha) * of_rep

    def losses(self, images: Tensor, labels: Tensor, prepared: Prepared) -> dict[str, Tensor]:
        image = self.towers.image
        tokens = image.tokens(images)
        capture = Capture(self.watched)
        features = self.image_features(tokens, capture)
        with torch.no_grad():
            frozen = unit(image.features(tokens))
        of_class, of_rep = self._both_logits(features, prepared)
        return {
            "ce_class": F.cross_entropy(of_class, labels),
            "ce_rep": F.cross_entropy(of_rep, labels),
            "reg_image": 1 - (unit(features.cls) * frozen).sum(dim=-1).mean(),
            "reg_text": 1 - (prepared.text * prepared.frozen).sum(dim=-1).mean(),
            **self.norm_terms(features, capture),
        }

    @property
    def watched(self) -> Sequence[int]:
        """Blocks whose activations `norm_terms` reads."""
        return ()

    def norm_terms(self, features: ImageFeatures, capture: Capture) -> dict[str, Tensor]:
        """Further loss terms on the norms of features and captured activations."""
        return {}

    @property
    def loss_weights(self) -> Mapping[str, float]:
        return {
            "ce_class": self.alpha,
            "ce_rep": 1 - self.alpha,
            "reg_image": self.reg_weight,
            "reg_text": self.reg_weight,
        }


class DecoupledInference(RepresentationMethod):
    """The papers' inference of MMRL and MMRL++, which needs to know where a sample comes from."""

    def logits_decoupled(self, images: Tensor, prepared: Prepared, shift: Shift) -> Tensor:
        """Both features for the source's own classes, only f_c for anything shifted."""
        features = self.image_features(self.towers.image.tokens(images))
        of_class, of_rep = self._both_logits(features, prepared)
        if shift != "none":
            return of_class
        return self.alpha * of_class + (1 - self.alpha) * of_rep
