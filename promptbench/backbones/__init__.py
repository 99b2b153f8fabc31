"""Building a frozen CLIP through open_clip from an architecture's name and a checkpoint.

A backbone is named by open_clip's registry (`ViT-B-16-quickgelu`), its weights by a tag of that
registry or by a path. Whatever the source, the state dict must fit the architecture exactly, and
an activation that is known not to be the checkpoint's own is refused: QuickGELU weights in a GELU
model load without complaint and lose several points in silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from promptbench.backbones import checkpoints
from promptbench.backbones.checkpoints import Activation, Checkpoint
from promptbench.compat import import_open_clip
from promptbench.demo import model as demo_model
from promptbench.errors import UserError, unknown
from promptbench.towers import Towers


@dataclass(frozen=True)
class Preprocess:
    """How images enter the backbone: square `size` in pixels, channel mean and std in [0, 1]."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Backbone:
    """A loaded CLIP and where it came from; `sha256` is of the checkpoint file."""

    name: str
    weights: str
    sha256: str
    activation_verified: bool
    preprocess: Preprocess
    towers: Towers


def load(name: str, weights: str, device: torch.device) -> Backbone:
    """Load `weights` (a tag of open_clip's registry, or a path) into the architecture `name`.

    Raises:
        UserError: unknown name or tag, missing or unreadable file, weights or activation that do
            not fit, or towers that are not an OpenAI-style ViT CLIP.
    """
    checkpoint, config = find(name, weights), architecture(name)
    model = import_open_clip().model.CLIP(**config)
    _load_strictly(model, checkpoints.read_state_dict(checkpoint.path), name, checkpoint.path)
    _check_towers(name, model)
    towers = Towers(model.to(device), load_tokenizer(name))
    return Backbone(
        name=name,
        weights=weights if checkpoint.registry else Path(weights).name,
        sha256=checkpoint.sha256,
        activation_verified=checkpoint.activation is not None,
        preprocess=_preprocess(config, checkpoint.registry),
        towers=towers,
    )


def find(name: str, weights: str) -> Checkpoint:
    """The checkpoint of `weights`, downloaded if it is a tag; one of another activation is not.

    Raises:
        UserError: unknown name or tag, a missing file, or an activation that is not the
            architecture's.
    """
    config = architecture(name)
    _check_activation(name, config, f"{weights!r}", checkpoints.activation_of_tag(name, weights))
    checkpoint = checkpoints.find(name, weights)
    _check_activation(name, config, checkpoint.path.name, checkpoint.activation)
    return checkpoint


def load_tokenizer(name: str) -> Any:
    """open_clip's tokenizer of a backbone."""
    demo_model.register()
    return import_open_clip().get_tokenizer(name)


def architecture(name: str) -> dict[str, Any]:
    """open_clip's configuration of `name`, refused unless both towers are plain CLIP ViTs."""
    open_clip = import_open_clip()
    demo_model.register()
    if name not in open_clip.list_models():
        raise unknown("backbone", name, open_clip.list_models(), "open_clip's names")
    config: dict[str, Any] = open_clip.get_model_config(name)
    vision, text = config["vision_cfg"], config["text_cfg"]
    plain = (
        not config.get("custom_text")
        and "multimodal_cfg" not in config
        and isinstance(vision.get("layers"), int)
        and "timm_model_name" not in vision
        and "hf_model_name" not in text
    )
    if not plain:
        raise _unsupported(name)
    return config


def _unsupported(name: str) -> UserError:
    return UserError(
        f"backbone {name!r} is not an OpenAI-style ViT CLIP (class token, causal text tower); the "
        "methods edit tokens of such towers only. Try ViT-B-16-quickgelu or ViT-B-32-quickgelu"
    )


def _check_towers(name: str, model: Any) -> None:
    visual = model.visual
    fits = (
        type(visual).__name__ == "VisionTransformer"
        and visual.attn_pool is None
        and visual.pool_type == "tok"
        and not visual.final_ln_after_pool
        and isinstance(visual.proj, Tensor)
        and isinstance(model.text_projection, Tensor)
        and model.text_pool_type == "argmax"
        and model.attn_mask is not None
    )
    if not fits:
        raise _unsupported(name)


def _check_activation(
    name: str, config: dict[str, Any], weights: str, activation: Activation | None
) -> None:
    built: Activation = "QuickGELU" if config.get("quick_gelu") else "GELU"
    if activation in (None, built):
        return
    base = name.removesuffix("-quickgelu")
    right = f"{base}-quickgelu" if activation == "QuickGELU" else base
    known = right != name and right in import_open_clip().list_models()
    remedy = f"use --backbone {right}" if known else f"use a backbone with {activation}"
    raise UserError(
        f"{weights} was trained with {activation}, but {name} computes {built}; {remedy}"
    )


def _load_strictly(model: Any, state: dict[str, Tensor], name: str, path: Path) -> None:
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reasons = [line.strip() for line in str(error).splitlines()[1:] if line.strip()]
        first = reasons[0] if reasons else str(error)
        raise UserError(
            f"{path} does not fit {name}: {first[:200]} (and {max(len(reasons) - 1, 0)} more); "
            "pass the architecture it was trained as with --backbone"
        ) from error


def _preprocess(config: dict[str, Any], registry: dict[str, Any]) -> Preprocess:
    open_clip = import_open_clip()
    if registry.get("interpolation", "bicubic") != "bicubic" or (
        registry.get("resize_mode", "shortest") != "shortest"
    ):
        raise UserError(
            "these weights need another resizing than the protocols' (bicubic, shorter side); "
            "their numbers could not be compared with anything, so they are not supported"
        )
    return Preprocess(
        size=config["vision_cfg"]["image_size"],
        mean=tuple(registry.get("mean", open_clip.OPENAI_DATASET_MEAN)),
        std=tuple(registry.get("std", open_clip.OPENAI_DATASET_STD)),
    )
