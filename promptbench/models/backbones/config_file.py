"""`open_clip_config.json`, which lies beside weights on the Hugging Face hub, and what it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from promptbench.errors import UserError
from promptbench.storage import reading
from promptbench.support.compat import import_open_clip

Activation = Literal["QuickGELU", "GELU"]
NAME = "open_clip_config.json"
_MOST_BYTES = 2**20
_WITHOUT_EFFECT = ("patch_dropout", "output_tokens")  # in training; on what a tower returns
_TABLES = ("model_cfg", "preprocess_cfg")
_TOWERS = ("vision_cfg", "text_cfg")
_ACTIVATION = "quick_gelu"


@dataclass(frozen=True)
class ConfigFile:
    """What such a file says of the model, its preprocessing and its activation.

    Tables are empty, the activation None, where it is silent.
    """

    path: Path
    model: Mapping[str, Any] = field(default_factory=dict)
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    activation: Activation | None = None


def beside(weights: Path) -> ConfigFile | None:
    """The configuration beside a file of weights, if there is one.

    Raises:
        UserError: it cannot be read, or is not such a configuration.
    """
    path = weights.with_name(NAME)
    table = table_in(path)
    if table is None:
        return None
    model, images = (table.get(name) or {} for name in _TABLES)
    towers = [model.get(name) or {} for name in _TOWERS] if isinstance(model, dict) else []
    # What a file says outside both tables would be lost.
    if table and table.keys().isdisjoint(_TABLES):
        said = ", ".join(name for name in table if name)
        raise _not_one(path, f"it says {said} outside of them" if said else "it is not a table")
    if not all(isinstance(part, dict) for part in (model, images, *towers)):
        raise _not_one(path, "one of these is not a table")
    activation: Activation = "QuickGELU" if model.get("quick_gelu", False) else "GELU"
    return ConfigFile(path, model, images, activation if model else None)


def _not_one(path: Path, why: str) -> UserError:
    return UserError(
        f"{path}, which lies beside the weights, is not an open_clip configuration, whose settings "
        'of the model stand in a table "model_cfg" (of its towers in "vision_cfg" and "text_cfg" '
        f'in this) and those of images in a table "preprocess_cfg": {why}'
    )


def table_in(path: Path) -> dict[str, Any] | None:
    """The table in a file of JSON that lies beside weights; None without such a file.

    Raises:
        UserError: it cannot be read.
    """
    if not (path.exists() or path.is_symlink()):  # what is there and cannot be read is an error
        return None
    try:
        data = reading.read_bytes(path, _MOST_BYTES, "the configuration beside the weights,")
        content = reading.parse_json(data)
    except ValueError as error:
        raise UserError(f"cannot read {path}, which lies beside the weights: {error}") from error
    return content if isinstance(content, dict) else {"": content}


def check_model(found: ConfigFile, name: str, config: Mapping[str, Any]) -> None:
    """Refuse a configuration that is of another architecture than `name`, its activation apart.

    Raises:
        UserError: the first setting that differs, and which architecture has all of the file's.
    """
    difference = next(_differences(found.model, config), None)
    if difference is None or difference[0] == _ACTIVATION:  # the last that is compared
        return
    key, theirs, ours = difference
    open_clip = import_open_clip()
    known = (other for other in open_clip.list_models() if other != name)
    fitting = [other for other in known if is_of(found, open_clip.get_model_config(other))]
    remedy = f"use --backbone {fitting[0]}" if fitting else "no --backbone has all of its settings"
    raise UserError(f"{found.path}: {key} is {theirs!r}, but {name} has {ours!r}; {remedy}")


def is_of(found: ConfigFile, config: Mapping[str, Any]) -> bool:
    """Whether all that a file says of its model is so in the configuration of an architecture."""
    return next(_differences(found.model, config), None) is None


def _differences(
    theirs: Mapping[str, Any], ours: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """(key, value there, value here) of settings that are not the same, defaults filled in."""
    for key, usual in (("embed_dim", None), ("custom_text", False)):
        if key in theirs and theirs[key] != ours.get(key, usual):
            yield key, theirs[key], ours.get(key, usual)
    defaults = _defaults()
    for tower in _TOWERS:
        if tower not in theirs:
            continue
        there, here = (_filled(side.get(tower) or {}, defaults[tower]) for side in (theirs, ours))
        for key in sorted({*there, *here} - {*_WITHOUT_EFFECT}):
            if there.get(key) != here.get(key):
                yield f"{tower}.{key}", there.get(key), here.get(key)
    if _ACTIVATION in theirs and theirs[_ACTIVATION] != ours.get(_ACTIVATION, False):
        yield _ACTIVATION, theirs[_ACTIVATION], ours.get(_ACTIVATION, False)


def _defaults() -> dict[str, dict[str, Any]]:
    model = import_open_clip().model
    return {"vision_cfg": asdict(model.CLIPVisionCfg()), "text_cfg": asdict(model.CLIPTextCfg())}


def _filled(stated: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    filled = {**defaults, **stated}
    options = filled.get("tokenizer_kwargs")
    if isinstance(options, dict):  # where the table of merges lies is the machine's business
        filled["tokenizer_kwargs"] = {k: v for k, v in options.items() if k != "bpe_path"} or None
    return filled
