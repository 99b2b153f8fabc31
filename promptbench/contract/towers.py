"""The tiny CLIP of the contract: narrow blocks with random weights, built in no time."""

from __future__ import annotations

import math
import string
from dataclasses import dataclass

from promptbench.models.towers import Towers
from promptbench.support.compat import import_open_clip
from promptbench.support.seeding import seeded


class LetterTokenizer:
    """A tokenizer without a vocabulary file: one token per printable character, none per blank, so
    that each placeholder X is one."""

    def __init__(self) -> None:
        self._ids = {character: i for i, character in enumerate(string.printable)}
        self.sot_token_id, self.eot_token_id = len(self._ids), len(self._ids) + 1

    def encode(self, text: str) -> list[int]:
        return [self._ids[character] for character in text.lower() if character != " "]


@dataclass(frozen=True)
class Shape:
    """The sizes of a tiny CLIP; the image is cut into patches of 8 pixels."""

    embed_dim: int
    image_width: int
    text_width: int
    image_size: int
    layers: int
    context_length: int


STANDARD = Shape(
    embed_dim=24, image_width=48, text_width=32, image_size=16, layers=12, context_length=64
)


def tiny_towers(seed: int = 0, shape: Shape = STANDARD) -> Towers:
    """A CLIP of narrow blocks with random weights, unequal widths, and 8-pixel patches."""
    tokenizer = LetterTokenizer()
    with seeded(seed, "contract"):
        model = import_open_clip().model.CLIP(
            embed_dim=shape.embed_dim,
            quick_gelu=True,
            vision_cfg={
                "image_size": shape.image_size,
                "patch_size": 8,
                "head_width": 16,
                "layers": shape.layers,
                "width": shape.image_width,
            },
            text_cfg={
                "context_length": shape.context_length,
                "vocab_size": tokenizer.eot_token_id + 1,
                "heads": 2,
                "layers": shape.layers,
                "width": shape.text_width,
            },
        )
    model.logit_scale.data.fill_(math.log(100))
    return Towers(model, tokenizer)
