"""A checkpoint in its architecture, strictly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from promptbench.backbones import checkpoints
from promptbench.backbones.architectures import architecture, check_towers, load_tokenizer
from promptbench.backbones.checkpoints import Activation, Checkpoint
from promptbench.compat import import_open_clip
from promptbench.errors import UserError
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
    check_towers(name, model)
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
