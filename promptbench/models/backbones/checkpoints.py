"""Checkpoint files: finding them by tag or path, and what they were trained with.

The activation matters most: QuickGELU weights in a GELU model load without complaint and lose
several points in silence, so it is found out from what the file or the registry says.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from promptbench.config import suites
from promptbench.demo import model as demo_model
from promptbench.errors import UserError, unknown
from promptbench.models.backbones import config_file, hub, torchscript
from promptbench.models.backbones.config_file import ConfigFile
from promptbench.storage.files import file_sha256 as file_sha256  # part of this interface
from promptbench.support.compat import open_clip_registry

Activation = Literal["QuickGELU", "GELU"]
# The files of weights in a folder as the Hugging Face hub has them, the first that is there.
_IN_FOLDERS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".tar")

_MOST_BYTES = 64 * 2**30  # of a file; a hole of a terabyte would be read for its hash


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file, the registry's entry for it if known, and its activation if known.

    `label` is how records call it: a tag of the registry, or the name of a file or, with "/", of a
    folder. `config` is what lies beside a file.
    """

    path: Path
    sha256: str
    label: str
    registry: dict[str, Any]
    activation: Activation | None
    config: ConfigFile | None = None


# --- finding the file -------------------------------------------------------------------------


def find(name: str, weights: str) -> Checkpoint:
    """The checkpoint file that `weights` names, downloaded or from open_clip's cache for a tag."""
    if name == demo_model.NAME and weights == "demo":
        path = Path(demo_model.WEIGHTS)
        if not path.is_file():
            raise UserError(f"the demo's weights {path} are missing; reinstall promptbench-vlm")
        return Checkpoint(path, file_sha256(path), weights, {"demo": True}, "QuickGELU")
    path = Path(weights).expanduser()
    if path.is_dir() and not _is_tag(name, weights):
        return _of_file(_in_folder(path), f"{path.resolve().name}/")
    if path.is_file():
        return _of_file(path, path.name if path.suffix else f"./{path.name}")
    if path.suffix or len(path.parts) > 1 or weights.endswith("/"):
        raise UserError(f"the weights file {weights} does not exist")
    tags = open_clip_registry().list_pretrained_tags_by_model(name)
    if weights not in tags:
        if owners := _owners(weights):
            raise UserError(
                f"the weights {weights!r} are not of {name}: they belong to --backbone "
                f"{' or '.join(owners)}; pass it too"
            )
        raise unknown("weights", weights, tags, f"tags of {name}, or the path of a checkpoint file")
    return _download(name, weights)


def _is_tag(name: str, weights: str) -> bool:
    """Whether this is a tag of the registry, where a folder happens to have its name."""
    return weights in open_clip_registry().list_pretrained_tags_by_model(name)


def _in_folder(folder: Path) -> Path:
    """The weights in a folder as the Hugging Face hub has them.

    Raises:
        UserError: it is another kind of folder.
    """
    has_config = (folder / config_file.NAME).is_file()
    found = [folder / name for name in _IN_FOLDERS if (folder / name).is_file()]
    if has_config and found:
        return found[0]
    files = sorted(path.name for path in folder.iterdir() if path.suffix in _WEIGHTS)
    holds = f"; it holds {', '.join(files[:5])}" if files else ""
    raise UserError(
        f"the weights {folder} are a folder, which must be as on the Hugging Face hub: "
        f"{config_file.NAME} and {' or '.join(_IN_FOLDERS)}{holds}; name one file of weights"
    )


def _of_file(path: Path, label: str) -> Checkpoint:
    if (size := path.stat().st_size) > _MOST_BYTES:
        raise UserError(
            f"the weights file {path} has {size / 2**30:,.0f} GiB, more than the "
            f"{_MOST_BYTES // 2**30} that a CLIP takes with its training; is this the right file?"
        )
    sha256 = file_sha256(path)
    registry, beside = _known_by_hash(sha256), config_file.beside(path)
    return Checkpoint(path, sha256, label, registry, _activation(path, registry, beside), beside)


def _owners(tag: str) -> list[str]:
    """The ViTs that open_clip has under a tag: those of a suite, if a suite uses it."""
    pairs = open_clip_registry().list_pretrained()
    found = [name for name, theirs in pairs if theirs == tag and "ViT" in name]
    used = {suite.backbone for suite in map(suites.load, suites.names()) if suite.weights == tag}
    return [name for name in found if name in used] or found


def _download(name: str, tag: str) -> Checkpoint:
    pretrained = open_clip_registry()
    registry = pretrained.get_pretrained_cfg(name, tag)
    path = hub.fetched(lambda: pretrained.download_pretrained(registry), registry, tag, name)
    return Checkpoint(path, file_sha256(path), tag, registry, _activation(path, registry, None))


@functools.cache
def _registry_hashes() -> list[tuple[str, dict[str, Any]]]:
    """(start of the sha256, entry) of every file whose address in the registry carries its hash."""
    known = []
    registry = open_clip_registry()
    for name, tag in registry.list_pretrained():
        entry = registry.get_pretrained_cfg(name, tag)
        for digest in re.findall(
            r"(?:/|-)([0-9a-f]{64}|[0-9a-f]{8})(?=/|\.pt$)", entry.get("url", "")
        ):
            known.append((digest, entry))
    return known


def _known_by_hash(sha256: str) -> dict[str, Any]:
    return next((entry for digest, entry in _registry_hashes() if sha256.startswith(digest)), {})


# --- activation -------------------------------------------------------------------------------


def _activation(
    path: Path, registry: dict[str, Any], beside: ConfigFile | None
) -> Activation | None:
    """What activation the checkpoint was trained with, from its registry entry, code or config."""
    if registry:
        return "QuickGELU" if registry.get("quick_gelu") else "GELU"
    try:
        if torchscript.is_archive(path):
            return _scripted_activation(torchscript.code(path))
    except (OSError, ValueError, KeyError, *torchscript.BROKEN) as error:
        raise UserError(
            f"cannot read of {path} with which activation it was trained: {error}"
        ) from error
    if beside is None or not beside.model:
        return None
    return "QuickGELU" if beside.model.get("quick_gelu", False) else "GELU"


def activation_of_tag(name: str, weights: str) -> Activation | None:
    """What activation a tag of the registry was trained with; None of a file, or an unknown tag."""
    if Path(weights).expanduser().is_file():  # it goes before a tag of its name
        return None
    entry = open_clip_registry().get_pretrained_cfg(name, weights)
    return _activation(Path(), entry, None) if entry else None


def _scripted_activation(code: str) -> Activation | None:
    """A TorchScript archive carries its code: QuickGELU is x * sigmoid(1.702 x)."""
    if "1.702" in code or "QuickGELU" in code:
        return "QuickGELU"
    return "GELU" if "gelu(" in code else None
