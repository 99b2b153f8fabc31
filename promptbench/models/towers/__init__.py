"""The frozen CLIP towers: all that methods see of CLIP, and the only place that touches its blocks.

Methods never touch open_clip. They ask a tower for the frozen tokens of texts or images, hand it
edits and deltas per block (`promptbench.models.edits`, `promptbench.models.deltas`) and read
features. docs/towers.md is the page for authors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, nn

from promptbench.models.capabilities import Capabilities
from promptbench.models.towers import compiled
from promptbench.models.towers.apart import apart
from promptbench.models.towers.block import View
from promptbench.models.towers.image import ImageTower
from promptbench.models.towers.other_images import image_tower
from promptbench.models.towers.other_texts import text_tower
from promptbench.models.towers.text import TextTower
from promptbench.models.towers.tokens import Capture, Tokens
from promptbench.models.towers.tower import Tower
from promptbench.support.compat import import_open_clip

__all__ = [
    "Capture",
    "ImageTower",
    "TextTower",
    "Tokens",
    "Tower",
    "Towers",
    "View",
    "imagenet_templates",
]


class Towers:
    """A frozen CLIP: `text` and `image` towers over open_clip's modules, and the logit scale."""

    def __init__(self, model: Any, tokenizer: Any, context_length: int | None = None) -> None:
        """Freeze a model of open_clip.

        Args:
            context_length: of texts, where the text tower is one of Hugging Face transformers.
        """
        model.eval().requires_grad_(False)
        self.model = model
        self.text: TextTower = text_tower(model, tokenizer, context_length)
        self.image: ImageTower = image_tower(model.visual)
        self.embed_dim: int = self.text.embed_dim

    @property
    def capabilities(self) -> Capabilities:
        """What these towers offer, by the names of `promptbench.models.capabilities`."""
        bias = {"logit_bias"} if self.logit_bias is not None else set[str]()
        return self.text.offers | self.image.offers | bias

    def forget(self) -> None:
        """Drop remembered texts and images, so that whoever uses the towers next sees none.

        What was compiled stays, unless compiling was given up.
        """
        self.text.forget()
        self.image.forget()
        if self.text.has_given_up or self.image.has_given_up:
            self.uncompile()

    def cast(self, dtype: torch.dtype) -> None:
        """Keep the blocks' matrices in the half-precision dtype that autocast computes in.

        Autocast would convert them at every use. All else stays in float32: norms, embeddings,
        projections, and in both towers what flows from block to block (the residual stream), to
        which each block adds half-precision products. A stream in half precision makes the errors
        of logits 1.8 times as large, and on a GPU autocast widens it again before every norm.
        Encoders that run whole stay as they are; autocast converts what they use.
        """
        for tower in (self.text, self.image):
            for module in tower.blockwise.modules():
                if isinstance(module, nn.Linear | nn.MultiheadAttention | nn.Conv2d):
                    for parameter in module.parameters(recurse=False):
                        parameter.data = parameter.data.to(dtype)

    def compile(self, tell: Callable[[str], None]) -> None:
        """torch.compile for prompted passes, with CUDA graphs on a GPU.

        `tell` gets a message if compiling fails; the towers then run uncompiled.
        """
        options = {"mode": "reduce-overhead"} if self.device.type == "cuda" else {}
        for tower in (self.text, self.image):
            tower.compile(tell, options)

    @property
    def is_compiled(self) -> bool:
        return self.text.is_compiled or self.image.is_compiled

    def uncompile(self) -> None:
        """Take `compile` back, and free what compiled code holds; to be called between steps."""
        self.release_compiled()
        self.text.uncompile()
        self.image.uncompile()

    def release_compiled(self) -> None:
        """Free the memory of CUDA graphs; what runs again is compiled again."""
        if self.is_compiled:
            compiled.release()

    @contextmanager
    def uncompiled(self) -> Iterator[None]:
        """Inside the block both towers run as without `compile`."""
        with self.text.uncompiled(), self.image.uncompiled():
            yield

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Inside the block both towers run as without `compile`, and remember nothing from before
        it; after it, what they did before."""
        with apart(self.text, self.image), self.uncompiled():
            yield

    def __deepcopy__(self, memo: object) -> Self:
        return self  # frozen: copies of a method share them

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.logit_scale.device
        return device

    @property
    def logit_scale(self) -> Tensor:
        """exp of the pretrained log scale, a float32 scalar (100 for OpenAI's weights)."""
        scale: Tensor = self.model.logit_scale.float().exp()
        return scale if not scale.dim() else scale.squeeze()

    @property
    def logit_bias(self) -> Tensor | None:
        """What pretraining with a sigmoid loss has added to all logits, a float32 scalar; softmax
        and argmax do not see it. None: there is none."""
        bias: Tensor | None = getattr(self.model, "logit_bias", None)
        return None if bias is None else bias.float().squeeze()

    @property
    def class_chunk(self) -> int | None:
        """Class prompts whose activations training keeps at a time; None: as memory allows."""
        return self.text.class_chunk

    @class_chunk.setter
    def class_chunk(self, size: int | None) -> None:
        self.text.class_chunk = size

    def go_on_in(self, chunk: int | None) -> None:
        """Train on in the class prompts at a time that a training has begun with."""
        self.text.go_on_in(chunk)

    @property
    def chunk_in_use(self) -> int | None:
        """The class prompts that the training since `forget` keeps at a time; None: all."""
        return self.text.chunk_in_use


def imagenet_templates() -> tuple[str, ...]:
    """CLIP's 80 prompt templates for ImageNet, in OpenAI's order, with {} for the class name."""
    return tuple(template("{}") for template in import_open_clip().OPENAI_IMAGENET_TEMPLATES)
