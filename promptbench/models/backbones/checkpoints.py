"""Checkpoint files: finding them by tag or path, and what they were trained with.

The activation matters most: QuickGELU weights in a GELU model load without complaint and lose
several points in silence, so it is found out from what the file or the registry says.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from promptbench.config import suites
from promptbench.demo import model as demo_model
from promptbench.errors import UserError, unknown
from promptbench.models.backbones import (
    archives,
    config_file,
    folders,
    hub,
    presets,
    transformers_config,
)
from promptbench.models.backbones.config_file import Activation, ConfigFile
from promptbench.models.backbones.presets import Preset
from promptbench.storage.files import file_sha256
from promptbench.support.compat import open_clip_registry

_MOST_BYTES = 64 * 2**30  # of a file; a hole of a terabyte would be read for its hash


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file, the registry's entry for it if known, and its activation if known.

    `label` is how records call it: a tag of the registry, or the name of a file or, with "/", of a
    folder. `config` is what lies beside a file, and `preset` what it was said to be. Of weights in
    parts `path` is the index, and `sha256` that of all parts (`folders.sha256_of`).
    """

    path: Path
    sha256: str
    label: str
    registry: dict[str, Any]
    activation: Activation | None
    config: ConfigFile | None = None
    preset: Preset | None = None

    @property
    def is_silent(self) -> bool:
        """Whether nothing is known of how images enter: a file of which nobody says a word."""
        stated = self.config is not None and self.config.preprocess
        named = self.preset is not None and not self.preset.member.beside
        return not (self.registry or stated or named)


# --- finding the file -------------------------------------------------------------------------


def find(name: str, weights: str, preset: str | None = None) -> Checkpoint:
    """The checkpoint file that `weights` names, downloaded or from open_clip's cache for a tag.

    `preset` is the full name of the preset that the weights are said to be of, if any.
    """
    found = _found(name, weights)
    if preset is None:
        return found
    known = presets.presets()[preset]
    decided = found.activation or presets.activation_of(known)
    return replace(found, preset=known, activation=decided)


def _found(name: str, weights: str) -> Checkpoint:
    if name == demo_model.NAME and weights == "demo":
        path = Path(demo_model.WEIGHTS)
        if not path.is_file():
            raise UserError(f"the demo's weights {path} are missing; reinstall promptbench-vlm")
        return Checkpoint(path, file_sha256(path), weights, {"demo": True}, "QuickGELU")
    path = Path(weights).expanduser()
    if path.is_file() or (path.is_dir() and not _is_tag(name, weights)):
        return of_path(path)
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


def is_path(weights: str) -> bool:
    """Whether `weights` names a file, or a folder that no tag of the registry has the name of."""
    path = Path(weights).expanduser()
    tags = {tag for _, tag in open_clip_registry().list_pretrained()}
    return path.is_file() or (path.is_dir() and weights not in tags)


def _is_tag(name: str, weights: str) -> bool:
    """Whether this is a tag of the registry, where a folder happens to have its name."""
    return weights in open_clip_registry().list_pretrained_tags_by_model(name)


def of_path(path: Path) -> Checkpoint:
    """The checkpoint of a file or folder of weights that is there.

    Raises:
        UserError: a folder of another kind, a file that is too large, or what lies beside it cannot
            be read.
    """
    file = folders.weights_in(path) if path.is_dir() else path
    return _of_file(file, folders.label_of(path))


def _of_file(path: Path, label: str) -> Checkpoint:
    if (size := folders.size_of(path)) > _MOST_BYTES:
        raise UserError(
            f"the weights file {path} has {size / 2**30:,.0f} GiB, more than the "
            f"{_MOST_BYTES // 2**30} that a CLIP takes with its training; is this the right file?"
        )
    sha256 = folders.sha256_of(path)
    registry, beside = _known_by_hash(sha256), _beside(path)
    return Checkpoint(path, sha256, label, registry, _activation(path, registry, beside), beside)


def _beside(path: Path) -> ConfigFile | None:
    """What lies beside a file; words of transformers are of weights that are called as theirs."""
    found = config_file.beside(path)
    if found is None and path.name in folders.OF_TRANSFORMERS:
        return transformers_config.beside(path.parent)
    return found


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
        if archives.is_archive(path):
            return _scripted_activation(archives.code(path))
    except (OSError, ValueError, KeyError, *archives.BROKEN) as error:
        raise UserError(
            f"cannot read of {path} with which activation it was trained: {error}"
        ) from error
    return None if beside is None else beside.activation


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
