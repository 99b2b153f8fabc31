"""A checkpoint in its architecture, strictly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from promptbench.errors import UserError
from promptbench.models.backbones import checkpoints, config_file, preprocessing, state_dicts
from promptbench.models.backbones.architectures import architecture, build, load_tokenizer
from promptbench.models.backbones.checkpoints import Activation, Checkpoint
from promptbench.models.preprocess import Preprocess
from promptbench.models.towers import Towers
from promptbench.support.compat import import_open_clip


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
            not fit, a preprocessing that cannot be had, or towers that are not an OpenAI-style ViT
            CLIP.
    """
    checkpoint, config = find(name, weights), architecture(name)
    model = build(name, config)
    _load_strictly(model, state_dicts.read(checkpoint.path), name, checkpoint.path)
    tokenizer = load_tokenizer(name, checkpoint.path.parent)
    towers = Towers(model.to(device), tokenizer, config["text_cfg"].get("context_length"))
    return Backbone(
        name=name,
        weights=checkpoint.label,
        sha256=checkpoint.sha256,
        activation_verified=checkpoint.activation is not None,
        preprocess=preprocess_of(name, checkpoint),
        towers=towers,
    )


def find(name: str, weights: str) -> Checkpoint:
    """The checkpoint of `weights`, downloaded if it is a tag; one of another activation is not.

    Raises:
        UserError: unknown name or tag, a missing file, an activation or a configuration beside it
            that is not the architecture's, or a preprocessing that cannot be had.
    """
    config = architecture(name)
    _check_activation(name, config, f"{weights!r}", checkpoints.activation_of_tag(name, weights))
    checkpoint = checkpoints.find(name, weights)
    _check_activation(name, config, checkpoint.path.name, checkpoint.activation)
    if checkpoint.config is not None:
        config_file.check_model(checkpoint.config, name, config)
    preprocess_of(name, checkpoint)
    return checkpoint


def preprocess_of(name: str, checkpoint: Checkpoint) -> Preprocess:
    """How images enter the architecture `name` with these weights.

    Raises:
        UserError: as the registry or the file beside the weights has it, it cannot be done here;
            or the two contradict each other.
    """
    size = architecture(name)["vision_cfg"]["image_size"]
    listed = preprocessing.of_registry(checkpoint.registry, size, checkpoint.label)
    beside = checkpoint.config
    if beside is None or not beside.preprocess:
        return listed
    found = preprocessing.stated(beside.preprocess, size, str(beside.path))
    if checkpoint.registry and found != listed:
        raise UserError(
            f"{beside.path} states another preprocessing ({', '.join(found.marks) or 'the usual'}) "
            f"than open_clip's registry does of {checkpoint.path.name}; if it belongs to other "
            "weights, put them into a folder of their own"
        )
    return found


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
        first = (reasons[0] if reasons else str(error))[:200]
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        # All of this architecture is there, and what is there beside it is not of a deeper one.
        is_whole = first.startswith("Unexpected key") and "resblocks" not in str(error)
        remedy = (
            "save a file without these"
            if is_whole and not more
            else "pass the architecture it was trained as with --backbone"
        )
        raise UserError(f"{path} does not fit {name}: {first}{more}; {remedy}") from error
