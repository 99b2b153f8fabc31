"""Image towers beside CLIP's own: features pooled over tokens, timm's transformers, whole encoders.

Where a feature is pooled over tokens, by a mean (CLIPA) or by attention (SigLIP), all tokens that
leave the last block take part, those that an edit has put there among them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from promptbench.models.capabilities import lacking
from promptbench.models.towers.block import Block, is_plain
from promptbench.models.towers.image import ImageTower, VisionTower
from promptbench.models.towers.tokens import Read, Tokens
from promptbench.models.towers.whole import WholeTower


class PooledVisionTower(VisionTower):
    """A vision transformer of open_clip whose feature is made of several tokens."""

    offers = frozenset({"image_blocks"})

    @property
    def _feature(self) -> Read | None:
        return None

    def _head(self, read: Tensor) -> Tensor:
        pooled, _ = self._visual._pool(read)
        projected: Tensor = pooled @ self._visual.proj
        return projected

    def pool(self, hidden: Tensor, tokens: Tokens) -> Tensor:
        return self._head(hidden)

    @property
    def projection(self) -> Tensor:
        raise lacking("image_cls")

    def normed(self, hidden: Tensor) -> Tensor:
        raise lacking("image_cls")


class TimmVisionTower(ImageTower):
    """A vision transformer of timm, read at its class token or pooled by its own head."""

    def __init__(self, visual: Any) -> None:
        trunk = visual.trunk
        blocks = [Block.of_timm(module) for module in trunk.blocks]
        super().__init__(visual, blocks, trunk.embed_dim)
        self._trunk = trunk
        self._by_cls = trunk.attn_pool is None and trunk.global_pool == "token"
        linear = self._linear if self._by_cls else None
        by_matrix = linear is not None and linear.bias is None
        self.offers = frozenset({"image_blocks"} | ({"image_cls"} if by_matrix else set()))

    @property
    def blockwise(self) -> torch.nn.Module:
        module: torch.nn.Module = self._trunk.blocks
        return module

    def _embed(self, images: Tensor) -> Tensor:
        with torch.inference_mode(False), torch.no_grad():
            embedded: Tensor = self._trunk._pos_embed(self._trunk.patch_embed(images))
            return embedded

    def _start(self, embedded: Tensor) -> Tensor:
        started: Tensor = self._trunk.norm_pre(embedded)
        return started

    @property
    def _feature(self) -> Read | None:
        return Read(leading=1) if self._by_cls else None

    def _head(self, read: Tensor) -> Tensor:
        features: Tensor = self._visual.head(self._trunk.forward_head(self._trunk.norm(read)))
        return features

    def _project(self, read: Tensor) -> Tensor:
        return self._head(read[:, None])

    def pool(self, hidden: Tensor, tokens: Tokens) -> Tensor:
        return self._head(hidden)

    @property
    def _linear(self) -> Any:
        """The one linear map between the normed CLS and the feature; None if there is more."""
        trunk, head = self._trunk, list(self._visual.head)
        maps = [m for m in (trunk.fc_norm, trunk.head, *head) if not _does_nothing(m)]
        single = len(maps) == 1 and isinstance(maps[0], torch.nn.Linear)
        return maps[0] if single else None

    @property
    def projection(self) -> Tensor:
        if "image_cls" not in self.offers:
            raise lacking("image_cls")
        weight: Tensor = self._linear.weight
        return weight.T

    def normed(self, hidden: Tensor) -> Tensor:
        if "image_cls" not in self.offers:
            raise lacking("image_cls")
        normed: Tensor = self._trunk.norm(hidden)
        return normed


class ImageEncoder(WholeTower, ImageTower):
    """An image tower that runs whole, whatever it is: it has features, and nothing in between.

    Batch norms use their stored statistics, as all of the frozen model.
    """

    without_edits = without_blocks = "image_blocks"

    def __init__(self, visual: Any) -> None:
        super().__init__(visual, [], 0)

    def _computed(self, tokens: Tokens) -> Tensor:
        found = self._visual(tokens.embedded)
        features: Tensor = found[0] if isinstance(found, tuple) else found
        return features

    def _embed(self, images: Tensor) -> Tensor:
        return images

    def normed(self, hidden: Tensor) -> Tensor:
        raise lacking("image_cls")

    @property
    def _feature(self) -> Read | None:
        return None

    @property
    def projection(self) -> Tensor:
        raise lacking("image_cls")


def image_tower(visual: Any) -> ImageTower:
    """The tower over an image encoder of open_clip, with as much of it in reach as can be."""
    kind = type(visual).__name__
    if kind == "VisionTransformer" and all(map(is_plain, visual.transformer.resblocks)):
        by_cls = visual.attn_pool is None and visual.pool_type == "tok"
        if by_cls and not visual.final_ln_after_pool:
            return VisionTower(visual)
        return PooledVisionTower(visual)
    if kind == "TimmModel" and _is_plain_timm(visual.trunk):
        return TimmVisionTower(visual)
    return ImageEncoder(visual)


def _is_plain_timm(trunk: Any) -> bool:
    return (
        type(trunk).__name__ == "VisionTransformer"
        and all(map(is_plain, trunk.blocks))
        and trunk.num_prefix_tokens == int(trunk.cls_token is not None)
    )


def _does_nothing(module: Any) -> bool:
    return isinstance(module, torch.nn.Identity | torch.nn.Dropout)
