"""Loading a frozen CLIP through open_clip: the only file that knows open_clip and checkpoint files.

A backbone is named by open_clip's registry (`ViT-B-16-quickgelu`), its weights by a tag of that
registry or by a path. Whatever the source, the state dict must fit the architecture exactly, and
an activation that is known not to be the checkpoint's own is refused: QuickGELU weights in a GELU
model load without complaint and lose several points in silence.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from promptbench.compat import import_open_clip
from promptbench.demo import model as demo_model
from promptbench.errors import UserError, unknown
from promptbench.towers import Towers

Activation = Literal["QuickGELU", "GELU"]
# Entries beside the weights: OpenAI's archives carry sizes, traced models the causal mask.
_NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size", "attn_mask")


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


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file, the registry's entry for it if known, and its activation if known."""

    path: Path
    sha256: str
    registry: dict[str, Any]
    activation: Activation | None


def load(name: str, weights: str, device: torch.device) -> Backbone:
    """Load `weights` (a tag of open_clip's registry, or a path) into the architecture `name`.

    Raises:
        UserError: unknown name or tag, missing or unreadable file, weights or activation that do
            not fit, or towers that are not an OpenAI-style ViT CLIP.
    """
    config = architecture(name)
    checkpoint = find_checkpoint(name, weights)
    _check_activation(name, config, checkpoint)
    model = import_open_clip().model.CLIP(**config)
    _load_strictly(model, read_state_dict(checkpoint.path), name, checkpoint.path)
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


# --- finding the file -------------------------------------------------------------------------


def find_checkpoint(name: str, weights: str) -> Checkpoint:
    """The checkpoint file that `weights` names, downloaded or from open_clip's cache for a tag."""
    if name == demo_model.NAME and weights == "demo":
        path = Path(demo_model.WEIGHTS)
        if not path.is_file():
            raise UserError(f"the demo's weights {path} are missing; reinstall promptbench-vlm")
        return Checkpoint(path, file_sha256(path), {"demo": True}, "QuickGELU")
    path = Path(weights).expanduser()
    if path.is_file():
        sha256 = file_sha256(path)
        registry = _known_by_hash(sha256)
        return Checkpoint(path, sha256, registry, _activation(path, registry))
    if path.suffix or len(path.parts) > 1:
        raise UserError(f"the weights file {weights} does not exist")
    tags = import_open_clip().list_pretrained_tags_by_model(name)
    if weights not in tags:
        raise unknown("weights", weights, tags, f"tags of {name}, or the path of a checkpoint file")
    return _download(name, weights)


def _download(name: str, tag: str) -> Checkpoint:
    pretrained = import_open_clip().pretrained
    registry = pretrained.get_pretrained_cfg(name, tag)
    try:
        path = Path(pretrained.download_pretrained(registry))
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"weights {tag!r} of {name} are neither in open_clip's cache nor downloadable "
            f"({type(error).__name__}); run once with a network, or pass --weights PATH"
        ) from error
    return Checkpoint(path, file_sha256(path), registry, _activation(path, registry))


@functools.lru_cache(maxsize=8)
def _hash(path: str, size: int, mtime_ns: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file; remembered while its size and time stamp stay the same."""
    stat = path.stat()
    return _hash(str(path.resolve()), stat.st_size, stat.st_mtime_ns)


@functools.cache
def _registry_hashes() -> list[tuple[str, dict[str, Any]]]:
    """(start of the sha256, entry) of every file whose address in the registry carries its hash."""
    known = []
    open_clip = import_open_clip()
    for name, tag in open_clip.list_pretrained():
        entry = open_clip.pretrained.get_pretrained_cfg(name, tag)
        for digest in re.findall(
            r"(?:/|-)([0-9a-f]{64}|[0-9a-f]{8})(?=/|\.pt$)", entry.get("url", "")
        ):
            known.append((digest, entry))
    return known


def _known_by_hash(sha256: str) -> dict[str, Any]:
    return next((entry for digest, entry in _registry_hashes() if sha256.startswith(digest)), {})


# --- activation -------------------------------------------------------------------------------


def _activation(path: Path, registry: dict[str, Any]) -> Activation | None:
    """What activation the checkpoint was trained with, from its registry entry, code or config."""
    if registry:
        return "QuickGELU" if registry.get("quick_gelu") else "GELU"
    if is_torchscript(path):
        return _scripted_activation(path)
    beside = path.with_name("open_clip_config.json")
    if beside.is_file():
        quick = json.loads(beside.read_text()).get("model_cfg", {}).get("quick_gelu", False)
        return "QuickGELU" if quick else "GELU"
    return None


def _scripted_activation(path: Path) -> Activation | None:
    """A TorchScript archive carries its code: QuickGELU is x * sigmoid(1.702 x)."""
    with zipfile.ZipFile(path) as archive:
        code = [
            archive.read(n).decode("utf-8", "replace")
            for n in archive.namelist()
            if n.endswith(".py")
        ]
    if any("1.702" in text or "QuickGELU" in text for text in code):
        return "QuickGELU"
    return "GELU" if any("gelu(" in text for text in code) else None


def _check_activation(name: str, config: dict[str, Any], checkpoint: Checkpoint) -> None:
    built: Activation = "QuickGELU" if config.get("quick_gelu") else "GELU"
    if checkpoint.activation in (None, built):
        return
    base = name.removesuffix("-quickgelu")
    right = f"{base}-quickgelu" if checkpoint.activation == "QuickGELU" else base
    known = right != name and right in import_open_clip().list_models()
    remedy = f"use --backbone {right}" if known else f"use a backbone with {checkpoint.activation}"
    raise UserError(
        f"{checkpoint.path.name} was trained with {checkpoint.activation}, but {name} computes "
        f"{built}; {remedy}"
    )


# --- reading ----------------------------------------------------------------------------------


def is_torchscript(path: Path) -> bool:
    """Whether the file is a TorchScript archive, as OpenAI publishes its weights."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The float32 state dict of a .safetensors, an open_clip .pt, or a TorchScript archive."""
    try:
        state = _read(path)
    except UserError:
        raise
    except Exception as error:  # torch and safetensors raise many types for a damaged file
        raise UserError(
            f"cannot read weights {path}: damaged, or no .safetensors, open_clip .pt or "
            f"TorchScript archive ({type(error).__name__})"
        ) from error
    if any(not isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"cannot read weights {path}: it holds no plain state dict of tensors")
    stripped = {key.removeprefix("module."): value.float() for key, value in state.items()}
    return {key: value for key, value in stripped.items() if key not in _NOT_WEIGHTS}


def _read(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        loaded: dict[str, Any] = load_file(path)
        return loaded
    if is_torchscript(path):
        return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    content = torch.load(path, map_location="cpu", weights_only=True)
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise UserError(f"cannot read weights {path}: no state dict inside")
    return state


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
