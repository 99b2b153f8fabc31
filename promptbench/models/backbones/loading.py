"""A checkpoint in its architecture, strictly."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from promptbench.models.backbones import fitting, state_dicts
from promptbench.models.backbones.architectures import architecture, build, load_tokenizer
from promptbench.models.backbones.finding import find, preprocess_of
from promptbench.models.preprocess import Preprocess
from promptbench.models.towers import Towers


@dataclass(frozen=True)
class Backbone:
    """A loaded CLIP and where it came from.

    `sha256` is of the checkpoint file, `preset` the published weights that it was said to be.
    """

    name: str
    weights: str
    sha256: str
    activation_verified: bool
    preprocess: Preprocess
    towers: Towers
    preset: str | None = None


def load(name: str, weights: str, device: torch.device, preset: str | None = None) -> Backbone:
    """Load `weights` (a tag of open_clip's registry, or a path) into the architecture `name`.

    `preset` is the full name of the preset that they are said to be of, if any.

    Raises:
        UserError: unknown name or tag, missing or unreadable file, weights or activation that do
            not fit, a preprocessing that cannot be had, or towers that are not an OpenAI-style ViT
            CLIP.
    """
    checkpoint, config = find(name, weights, preset), architecture(name)
    model = build(name, config)
    fitting.load(model, state_dicts.read(checkpoint.path), name, checkpoint.path)
    tokenizer = load_tokenizer(name, checkpoint.path.parent)
    towers = Towers(model.to(device), tokenizer, config["text_cfg"].get("context_length"))
    return Backbone(
        name=name,
        weights=checkpoint.label,
        sha256=checkpoint.sha256,
        activation_verified=checkpoint.activation is not None,
        preprocess=preprocess_of(name, checkpoint),
        towers=towers,
        preset=preset,
    )
