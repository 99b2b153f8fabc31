"""Checkpoint files: finding them by tag or path, what they were trained with, and reading them.

The activation matters most: QuickGELU weights in a GELU model load without complaint and lose
several points in silence, so it is found out from whatever the file or the registry tells.
"""

from __future__ import annotations

import functools
import json
import re
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from promptbench import suites
from promptbench.backbones import hub, torchscript
from promptbench.compat import import_open_clip
from promptbench.demo import model as demo_model
from promptbench.errors import UserError, unknown
from promptbench.storage.files import file_sha256 as file_sha256  # part of this interface

Activation = Literal["QuickGELU", "GELU"]
# Entries beside the weights: OpenAI's archives carry sizes, traced models the causal mask.
_NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size", "attn_mask")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file, the registry's entry for it if known, and its activation if known."""

    path: Path
    sha256: str
    registry: dict[str, Any]
    activation: Activation | None


# --- finding the file -------------------------------------------------------------------------


def find(name: str, weights: str) -> Checkpoint:
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
        if owners := _owners(weights):
            raise UserError(
                f"the weights {weights!r} are not of {name}: they belong to --backbone "
                f"{' or '.join(owners)}; pass it too"
            )
        raise unknown("weights", weights, tags, f"tags of {name}, or the path of a checkpoint file")
    return _download(name, weights)


def _owners(tag: str) -> list[str]:
    """The ViTs that open_clip has under a tag: those of a suite, if a suite uses it."""
    pairs = import_open_clip().list_pretrained()
    found = [name for name, theirs in pairs if theirs == tag and "ViT" in name]
    used = {suite.backbone for suite in map(suites.load, suites.names()) if suite.weights == tag}
    return [name for name in found if name in used] or found


def _download(name: str, tag: str) -> Checkpoint:
    pretrained = import_open_clip().pretrained
    registry = pretrained.get_pretrained_cfg(name, tag)
    obstacle = hub.obstacle() if registry.get("hf_hub") else None
    try:
        with hub.cache_alone() if obstacle else nullcontext():
            path = Path(pretrained.download_pretrained(registry))
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"weights {tag!r} of {name} are neither in open_clip's cache nor downloadable "
            f"({obstacle or type(error).__name__}); run once with a network, or pass --weights PATH"
        ) from error
    return Checkpoint(path, file_sha256(path), registry, _activation(path, registry))


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
    beside = path.with_name("open_clip_config.json")
    try:
        if torchscript.is_archive(path):
            return _scripted_activation(torchscript.code(path))
        if beside.is_file():
            model = json.loads(beside.read_bytes()).get("model_cfg", {})
            return "QuickGELU" if model.get("quick_gelu", False) else "GELU"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, *torchscript.BROKEN) as error:
        raise UserError(
            f"cannot read of {path} with which activation it was trained: {error}"
        ) from error
    return None


def activation_of_tag(name: str, weights: str) -> Activation | None:
    """What activation a tag of the registry was trained with; None of a file, or an unknown tag."""
    if Path(weights).expanduser().is_file():
        return None
    entry = import_open_clip().pretrained.get_pretrained_cfg(name, weights)
    return _activation(Path(), entry) if entry else None


def _scripted_activation(code: str) -> Activation | None:
    """A TorchScript archive carries its code: QuickGELU is x * sigmoid(1.702 x)."""
    if "1.702" in code or "QuickGELU" in code:
        return "QuickGELU"
    return "GELU" if "gelu(" in code else None


# --- reading ----------------------------------------------------------------------------------


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The float32 state dict of a .safetensors, an open_clip .pt, or a TorchScript archive."""
    try:
        state = _read(path)
    except UserError:
        raise
    except torchscript.Refused as error:
        raise UserError(f"refused to read weights {path}: {error}") from error
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
    if torchscript.is_archive(path):
        return dict(torchscript.state_dict(path))
    content = torch.load(path, map_location="cpu", weights_only=True)
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise UserError(f"cannot read weights {path}: no state dict inside")
    return state
