"""Presets: published weights whose files do not say what they need, by name.

`--backbone remoteclip --weights RemoteCLIP-ViT-B-32.pt` stands for an architecture of open_clip and
the preprocessing of these weights. What there is lies in `presets.toml`; a family's name chooses
the member by the name of the file or of its folder.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from promptbench.errors import UserError, unknown
from promptbench.models.backbones import architectures, config_file, folders
from promptbench.models.backbones.config_file import Activation
from promptbench.support.compat import open_clip_configs

_FILE = "presets.toml"
_Names = Annotated[list[str], Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Member(_Part):
    """Weights of one size: the architectures that they may be built as, the first unless the
    configuration beside them decides; names of their files or folders; whose preprocessing."""

    backbones: _Names
    files: _Names
    tag: str = ""
    beside: bool = False


class Family(_Part):
    """Published weights of one kind, as `presets.toml` has them."""

    title: str
    field: str
    paper: str
    layout: str
    note: str = ""
    members: Mapping[str, Member]


class Preset(NamedTuple):
    """One member of a family, under the name that `--backbone` takes."""

    name: str
    family: Family
    member: Member


class Named(NamedTuple):
    """What a preset's name stands for: the architecture, the weights and the preset's full name."""

    backbone: str
    weights: str
    preset: str


@functools.cache  # it comes with the package
def families() -> dict[str, Family]:
    """All families, by name."""
    text = resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    return {name: Family.model_validate(table) for name, table in tomllib.loads(text).items()}


@functools.cache
def presets() -> dict[str, Preset]:
    """All presets, by name: that of the family and of the member."""
    return {
        (name := f"{family}-{size}"): Preset(name, found, member)
        for family, found in families().items()
        for size, member in found.members.items()
    }


def names() -> list[str]:
    """What `--backbone` may name beside architectures: families and presets."""
    return [*families(), *presets()]


def is_preset(name: str) -> bool:
    """Whether `--backbone` names a preset or a family of them."""
    return name in families() or name in presets()


def refuse_unknown(name: str) -> None:
    """Refuse a name of neither an architecture nor a preset, with the nearest of both.

    Raises:
        UserError: there is none.
    """
    known = [*architectures.names(), *names()]
    if name not in known:
        remedy = "open_clip's names, or presets: promptbench ls weights"
        raise unknown("backbone", name, known, remedy)


def resolved(name: str, weights: str | None) -> Named:
    """What the name of a preset or a family stands for with these weights.

    Raises:
        UserError: a file is needed and not named, of which member of the family it is cannot be
            said, or the configuration that should lie beside it is missing or of another model.
    """
    preset = presets()[name] if name in presets() else _member_of(name, weights)
    if weights is None:
        if not preset.member.tag:
            raise UserError(
                f"--backbone {name} needs --weights: the path of {' or '.join(preset.member.files)}"
            )
        weights = preset.member.tag
    return Named(_backbone(preset, weights), weights, preset.name)


def _member_of(name: str, weights: str | None) -> Preset:
    """The member of a family whose files are called as these weights are."""
    members = [preset for preset in presets().values() if preset.family is families()[name]]
    if weights is not None:
        called = _called(Path(weights).expanduser())
        found = [preset for preset in members if _matches(called, preset.member.files)]
        if len(found) == 1:
            return found[0]
    shown = "; ".join(f"{p.name} ({', '.join(p.member.files)})" for p in members)
    if weights is None:
        raise UserError(f"--backbone {name} needs --weights, or name one of its members: {shown}")
    raise UserError(
        f"--backbone {name} has several members, and {Path(weights).name} is called as none of "
        f"their files; name the member: {shown}"
    )


def _called(path: Path) -> set[str]:
    """The names that weights have: of the file, of its folder, of their repository."""
    named = folders.label_of(path).split("/")
    return {path.name, path.absolute().parent.name, *named, named[0].removeprefix("./")}


def _matches(called: set[str], patterns: list[str]) -> bool:
    return any(
        fnmatchcase(name.lower(), pattern.lower()) for name in called for pattern in patterns
    )


def _backbone(preset: Preset, weights: str) -> str:
    """The architecture of a preset; where it may be one of several, the file beside decides."""
    backbones, path = preset.member.backbones, Path(weights).expanduser()
    if not preset.member.beside or not path.exists():
        return backbones[0]
    file = folders.weights_in(path) if path.is_dir() else path
    found = config_file.beside(file)
    if found is None or not found.model:
        raise UserError(
            f"{preset.name}: {config_file.NAME} must lie beside the weights, since it says with "
            f"which activation they were trained ({preset.family.layout})"
        )
    configs = open_clip_configs()
    for name in backbones:
        if config_file.is_of(found, configs[name]()):
            return name
    raise UserError(
        f"{found.path} is of another model than {preset.name} ({' or '.join(backbones)}); name its "
        "architecture with --backbone"
    )


def activation_of(preset: Preset) -> Activation | None:
    """With which activation the weights of a preset were trained; None: what lies beside says."""
    if preset.member.beside:
        return None
    config = open_clip_configs()[preset.member.backbones[0]]()
    return "QuickGELU" if config.get("quick_gelu") else "GELU"


def called_as(path: Path) -> list[str]:
    """The presets whose files or folders are called as this file is, of whatever architecture."""
    called = _called(path)
    return [p.name for p in presets().values() if _matches(called, p.member.files)]


def preprocess_facts(preset: Preset, registry: Any) -> Mapping[str, Any]:
    """What a preset knows of preprocessing, as a table of open_clip; empty is OpenAI's.

    `registry` is open_clip's.
    """
    if not preset.member.tag:
        return {}
    found: Mapping[str, Any] = registry.get_pretrained_cfg(
        preset.member.backbones[0], preset.member.tag
    )
    return found
