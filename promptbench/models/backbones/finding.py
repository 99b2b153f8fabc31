"""A checkpoint for an architecture, found and compared with what is known of it; nothing of it is
loaded, and plans that ask for it need no torch."""

from __future__ import annotations

from typing import Any

from promptbench.errors import UserError
from promptbench.models.backbones import checkpoints, config_file, preprocessing, presets
from promptbench.models.backbones.architectures import architecture
from promptbench.models.backbones.checkpoints import Checkpoint
from promptbench.models.backbones.config_file import Activation
from promptbench.models.preprocess import Preprocess
from promptbench.support.compat import open_clip_configs, open_clip_registry


def find(name: str, weights: str, preset: str | None = None) -> Checkpoint:
    """The checkpoint of `weights`, downloaded if it is a tag; one of another activation is not.

    Raises:
        UserError: unknown name or tag, a missing file, an activation or a configuration beside it
            that is not the architecture's, or a preprocessing that cannot be had.
    """
    config = architecture(name)
    _check_activation(name, config, f"{weights!r}", checkpoints.activation_of_tag(name, weights))
    checkpoint = checkpoints.find(name, weights, preset)
    beside = checkpoint.config
    if beside is not None:
        config_file.check_model(beside, name, config)
        by_leaving = "" if "quick_gelu" in beside.model else ' by leaving "quick_gelu" out'
        said = f"{checkpoint.path.name}, as {beside.path} says{by_leaving},"
        _check_activation(name, config, said, beside.activation)
    _check_activation(name, config, checkpoint.path.name, checkpoint.activation)
    preprocess_of(name, checkpoint)
    return checkpoint


def preprocess_of(name: str, checkpoint: Checkpoint) -> Preprocess:
    """How images enter the architecture `name` with these weights.

    What lies beside a file says it, else the registry or the preset, else it is what is usual for
    the architecture (`remark_on` says so).

    Raises:
        UserError: as the registry or the file beside the weights has it, it cannot be done here;
            or what lies beside contradicts the registry or the preset.
    """
    size = _size(name)
    listed, who = _listed(checkpoint, size)
    beside = checkpoint.config
    if beside is None or not beside.preprocess:
        return preprocessing.usual_of(name, size) if listed is None else listed
    found = preprocessing.stated(beside.preprocess, size, str(beside.path))
    if listed is not None and found != listed:
        raise UserError(
            f"{beside.path} states another preprocessing ({', '.join(found.marks) or 'the usual'}) "
            f"than {who} does of {checkpoint.path.name}; if it belongs to other weights, put them "
            "into a folder of their own"
        )
    return found


def _listed(checkpoint: Checkpoint, size: int) -> tuple[Preprocess | None, str]:
    """The preprocessing that is known of weights whatever lies beside them, and who knows it."""
    if checkpoint.registry:
        found = preprocessing.of_registry(checkpoint.registry, size, checkpoint.label)
        return found, "open_clip's registry"
    preset = checkpoint.preset
    if preset is None or preset.member.beside:
        return None, ""
    facts = presets.preprocess_facts(preset, open_clip_registry())
    return preprocessing.of_registry(facts, size, preset.name), f"the preset {preset.name}"


def remark_on(name: str, checkpoint: Checkpoint) -> str | None:
    """A sentence for the user where nothing says how images enter these weights; else None."""
    if not checkpoint.is_silent:
        return None
    size = _size(name)
    usual = preprocessing.usual_of(name, size)
    tags = preprocessing.of_tags(name, size)
    others = {tag: p for tag, p in tags.items() if p != usual}
    words = ", ".join(usual.marks) or "OpenAI's mean and deviation, bicubic, shortest side"
    text = (
        f"note: nothing says how images enter the weights {checkpoint.label}: they enter as is "
        f"usual for {name} ({words})"
    )
    if others:
        tag, other = next(iter(others.items()))
        text += f", but not for all of its weights ({tag}: {', '.join(other.marks)})"
    alike = presets.called_as(checkpoint.path)
    own = f"say --backbone {' or '.join(alike)}, as whose they are called, or " if alike else ""
    return f"{text}; if they were trained otherwise, {own}lay their {config_file.NAME} beside them"


def _size(name: str) -> int:
    size: int = architecture(name)["vision_cfg"]["image_size"]
    return size


def _check_activation(
    name: str, config: dict[str, Any], weights: str, activation: Activation | None
) -> None:
    built: Activation = "QuickGELU" if config.get("quick_gelu") else "GELU"
    if activation in (None, built):
        return
    base = name.removesuffix("-quickgelu")
    right = f"{base}-quickgelu" if activation == "QuickGELU" else base
    known = right != name and right in open_clip_configs()
    remedy = f"use --backbone {right}" if known else f"use a backbone with {activation}"
    raise UserError(
        f"{weights} was trained with {activation}, but {name} computes {built}; {remedy}"
    )
