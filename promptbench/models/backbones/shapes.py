"""What the shapes of weights say of their architecture: widths, blocks, patches, tokens.

They tell sizes apart, and nothing else: an activation, a mean or a number of heads has no shape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from promptbench.demo import model as demo_model
from promptbench.support.compat import open_clip_configs

_BLOCKS = "transformer.resblocks."


class Sizes(NamedTuple):
    """A ViT CLIP in numbers, in pixels, tokens, channels and blocks."""

    embed_dim: int
    patch: int
    image: int
    width: int
    layers: int
    context: int
    vocabulary: int
    text_width: int
    text_layers: int

    def __str__(self) -> str:
        return (
            f"a ViT with patches of {self.patch} on {self.image} pixels, {self.layers} blocks of "
            f"width {self.width}, beside a text tower of {self.text_layers} blocks of width "
            f"{self.text_width}, both to {self.embed_dim} dimensions"
        )


def of_state(state: Mapping[str, Tensor]) -> Sizes | None:
    """The sizes of a state dict of open_clip's ViT CLIPs; None of other towers."""
    text = "text." if "text.token_embedding.weight" in state else ""
    names = ("visual.conv1.weight", "visual.positional_embedding", "visual.proj")
    words = (f"{text}token_embedding.weight", f"{text}positional_embedding")
    found = [state.get(name) for name in (*names, *words)]
    if any(value is None for value in found):
        return None
    patches, places, projection, vocabulary, context = (
        tuple(value.shape) for value in found if value is not None
    )
    flat = (patches, places, projection, vocabulary, context)
    if [len(shape) for shape in flat] != [4, 2, 2, 2, 2]:
        return None
    return Sizes(
        embed_dim=projection[1],
        patch=patches[2],
        image=math.isqrt(max(places[0] - 1, 0)) * patches[2],
        width=patches[0],
        layers=_blocks(state, f"visual.{_BLOCKS}"),
        context=context[0],
        vocabulary=vocabulary[0],
        text_width=vocabulary[1],
        text_layers=_blocks(state, f"{text}{_BLOCKS}"),
    )


def architectures_of(state: Mapping[str, Tensor]) -> list[str]:
    """The architectures of open_clip whose sizes those of a state dict are."""
    sizes = of_state(state)
    if sizes is None:
        return []
    known = {**open_clip_configs(), demo_model.NAME: demo_model.config}
    return [name for name, config in known.items() if of_config(config()) == sizes]


def of_config(config: Mapping[str, Any]) -> Sizes | None:
    """The sizes of an architecture as open_clip's configuration states them; None of other towers
    than a ViT beside a transformer of open_clip."""
    vision, text = config.get("vision_cfg", {}), config.get("text_cfg", {})
    other = "timm_model_name" in vision or "hf_model_name" in text or "multimodal_cfg" in config
    if other or not isinstance(vision.get("layers", 12), int):
        return None
    patch, image = vision.get("patch_size", 16), vision.get("image_size", 224)
    if not isinstance(patch, int) or not isinstance(image, int):
        return None
    return Sizes(
        embed_dim=config["embed_dim"],
        patch=patch,
        image=image // patch * patch,
        width=vision.get("width", 768),
        layers=vision.get("layers", 12),
        context=text.get("context_length", 77),
        vocabulary=text.get("vocab_size", 49408),
        text_width=text.get("width", 512),
        text_layers=text.get("layers", 12),
    )


def _blocks(state: Mapping[str, Tensor], start: str) -> int:
    numbers = {
        name.removeprefix(start).partition(".")[0] for name in state if name.startswith(start)
    }
    return len(numbers)
