"""The frozen CLIP towers: all that methods see of CLIP, and the only place that touches its blocks.

Methods never touch open_clip. They ask a tower for the frozen tokens of texts or images, hand it
edits per block (`promptbench.edits`) and read features.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from promptbench.towers.image import ImageTower
from promptbench.towers.text import TextTower
from promptbench.towers.tower import Capture, Tokens, Tower

__all__ = ["Capture", "ImageTower", "TextTower", "Tokens", "Tower", "Towers"]


class Towers:
    """A frozen CLIP: `text` and `image` towers over open_clip's modules, and the logit scale."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        model.eval().requires_grad_(False)
        self.model = model
        self.text = TextTower(model, tokenizer)
        self.image = ImageTower(model.visual)
        self.embed_dim: int = model.visual.proj.shape[1]

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.logit_scale.device
        return device

    @property
    def logit_scale(self) -> Tensor:
        """exp of the pretrained log scale, a float32 scalar (100 for OpenAI's weights)."""
        scale: Tensor = self.model.logit_scale.float().exp()
        return scale

    @property
    def class_chunk(self) -> int | None:
        """Class prompts whose activations training keeps at a time; None: as memory allows."""
        return self.text.class_chunk

    @class_chunk.setter
    def class_chunk(self, size: int | None) -> None:
        self.text.class_chunk = size
