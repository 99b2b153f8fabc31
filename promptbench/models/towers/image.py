"""Image towers: the vision transformer of CLIP, others of its kind, and encoders that run whole."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from promptbench.models.towers.block import Block
from promptbench.models.towers.text import cast_of
from promptbench.models.towers.tokens import Layouts, Read, Tokens
from promptbench.models.towers.tower import Tower


class ImageTower(Tower):
    """What all image towers have: frozen tokens of images, remembered while the images live."""

    def __init__(self, visual: Any, blocks: Sequence[Block], width: int) -> None:
        super().__init__(blocks, width, causal=False)
        self._visual = visual
        self._memo = WeakTensorKeyDictionary()
        self._layouts: Layouts = {}  # of batches; a run has a few sizes of them

    @property
    def projection(self) -> Tensor:
        """The frozen projection W, [width, embed_dim]."""
        weight: Tensor = self._visual.proj
        return weight

    def tokens(self, images: Tensor) -> Tokens:
        """The frozen tokens of normalised `images` [n, 3, height, width].

        While a tensor of images lives unchanged, its tokens are the same object.
        """
        if images.is_inference():  # such tensors do not count their changes
            return Tokens(self._embed(images), layouts=self._layouts)
        state = (images._version, cast_of(images.device))
        known = self._memo.get(images)
        if known is None or known[0] != state:
            # Not by reference: the memo must not keep its own keys alive.
            embed = partial(self._embed, images.detach())
            known = self._memo[images] = (state, Tokens(embed, layouts=self._layouts))
        tokens: Tokens = known[1]
        return tokens

    def forget(self) -> None:
        self._memo.clear()
        self._layouts.clear()
        self._prefix, self._decided = None, None

    @abstractmethod
    def _embed(self, images: Tensor) -> Tensor:
        """The embedded sequence on which edit 0 acts, without gradient."""

    @abstractmethod
    def normed(self, hidden: Tensor) -> Tensor:
        """The last norm of token activations, [..., width]."""


class VisionTower(ImageTower):
    """The vision transformer of CLIP; CLS first, then the patches."""

    offers = frozenset({"image_blocks", "image_cls"})

    @property
    def blockwise(self) -> nn.Module:
        module: nn.Module = self._visual
        return module

    def __init__(self, visual: Any) -> None:
        blocks = [Block.of(module, causal=False) for module in visual.transformer.resblocks]
        super().__init__(visual, blocks, visual.positional_embedding.shape[1])
        visual.conv1.to(memory_format=torch.channels_last)

    def _embed(self, images: Tensor) -> Tensor:
        v = self._visual
        with torch.inference_mode(False), torch.no_grad():
            rows = images.contiguous(memory_format=torch.channels_last)
            patches = v.conv1(rows).flatten(2).transpose(1, 2)
            cls = v.class_embedding.expand(len(patches), 1, -1)
            # float32 from here on, as texts are: see `Towers.cast`.
            embedded = torch.cat([cls, patches.to(cls.dtype)], dim=1)
            started: Tensor = embedded + v.positional_embedding
            return started

    def _start(self, embedded: Tensor) -> Tensor:
        started: Tensor = self._visual.ln_pre(embedded)
        return started

    def normed(self, hidden: Tensor) -> Tensor:
        """ln_post of token activations, [..., width]."""
        normed: Tensor = self._visual.ln_post(hidden)
        return normed

    @property
    def _feature(self) -> Read | None:
        return Read(leading=1)

    def _project(self, read: Tensor) -> Tensor:
        return self.normed(read) @ self.projection

    def pool(self, hidden: Tensor, tokens: Tokens) -> Tensor:
        return self._project(hidden[:, 0])
