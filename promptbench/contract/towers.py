"""The tiny CLIP of the contract: 12 + 12 narrow blocks with random weights, built in no time."""

from __future__ import annotations

import math
import string

from promptbench.compat import import_open_clip
from promptbench.seeding import seeded
from promptbench.towers import Towers


class LetterTokenizer:
    """A tokenizer without a vocabulary file: one token per printable character."""

    def __init__(self) -> None:
        self._ids = {character: i for i, character in enumerate(string.printable)}
        self.sot_token_id, self.eot_token_id = len(self._ids), len(self._ids) + 1

    def encode(self, text: str) -> list[int]:
        return [self._ids[character] for character in text.lower()]


def tiny_towers(seed: int = 0) -> Towers:
    """A CLIP of 12 + 12 narrow blocks with random weights, unequal widths, and 8-pixel patches."""
    tokenizer = LetterTokenizer()
    heads = {"layers": 12, "width": 32}
    with seeded(seed, "contract"):
        model = import_open_clip().model.CLIP(
            embed_dim=24,
            quick_gelu=True,
            vision_cfg={
                "image_size": 16,
                "patch_size": 8,
                "head_width": 16,
                "layers": 12,
                "width": 48,
            },
            text_cfg={
                "context_length": 64,
                "vocab_size": tokenizer.eot_token_id + 1,
                "heads": 2,
                **heads,
            },
        )
    model.logit_scale.data.fill_(math.log(100))
    return Towers(model, tokenizer)
