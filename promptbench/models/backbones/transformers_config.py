"""What lies beside weights in the layout of Hugging Face transformers.

`config.json` says with which activation they were trained, `preprocessor_config.json` how images
enter, in words of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promptbench.errors import UserError
from promptbench.models.backbones.config_file import Activation, ConfigFile, table_in

MODEL = "config.json"
IMAGES = "preprocessor_config.json"
_PROCESSOR = "processor_config.json"  # of newer versions, with the images' part in a table
# The kinds of models whose weights are read, and the activation that each has unless it is stated.
_KINDS: Mapping[str, Activation] = {
    "clip": "QuickGELU",
    "metaclip_2": "QuickGELU",
    "siglip": "GELU",
    "siglip2": "GELU",
}
_ACTIVATIONS: Mapping[str, Activation] = {
    "quick_gelu": "QuickGELU",
    "gelu": "GELU",
    "gelu_pytorch_tanh": "GELU",
    "gelu_new": "GELU",
}
_FILTERS = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers
_TOWERS = ("vision_config", "text_config")


def beside(folder: Path) -> ConfigFile | None:
    """What the files of transformers in a folder say of weights there, if there are any.

    Raises:
        UserError: one of them cannot be read, is of another kind of model, or has words about
            images that cannot be honoured.
    """
    model, images = table_in(folder / MODEL), _images(folder)
    if model is None and images is None:
        return None
    activation = None if model is None else _activation(model, folder / MODEL)
    path, facts = images or (folder / MODEL, {})
    return ConfigFile(path, preprocess=_preprocess(facts, path), activation=activation)


def _images(folder: Path) -> tuple[Path, Mapping[str, Any]] | None:
    if (found := table_in(folder / IMAGES)) is not None:
        return folder / IMAGES, found
    part = (table_in(folder / _PROCESSOR) or {}).get("image_processor")
    return (folder / _PROCESSOR, part) if isinstance(part, dict) else None


def _activation(model: Mapping[str, Any], path: Path) -> Activation:
    kind = str(model.get("model_type"))
    if kind not in _KINDS:
        raise UserError(
            f"{path} is of a model of the kind {kind!r}; of transformers' models "
            f"{', '.join(_KINDS)} are read"
        )
    found: set[Activation] = set()
    for tower in _TOWERS:
        part = model.get(tower)
        name = part.get("hidden_act") if isinstance(part, dict) else None
        if name is not None and str(name) not in _ACTIVATIONS:
            raise UserError(
                f"{path}: {tower}.hidden_act is {name!r}; towers of open_clip compute "
                f"{', '.join(_ACTIVATIONS)} only"
            )
        found.add(_KINDS[kind] if name is None else _ACTIVATIONS[str(name)])
    if len(found) > 1:
        raise UserError(
            f"{path}: hidden_act differs between vision_config and text_config; an architecture of "
            "open_clip has one activation"
        )
    return found.pop()


def _preprocess(facts: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The facts of an image processor as a `preprocess_cfg` of open_clip has them."""
    if not facts:
        return {}
    said: dict[str, Any] = {}
    if facts.get("do_normalize", True):
        said |= {"mean": facts.get("image_mean"), "std": facts.get("image_std")}
    else:
        said |= {"mean": [0.0] * 3, "std": [1.0] * 3}
    if not facts.get("do_resize", True):
        raise _refused(path, "do_resize", False, "images of any size have to become one size")
    if not facts.get("do_rescale", True):
        raise _refused(path, "do_rescale", False, "levels 0 to 255 are divided by 255 here")
    factor = facts.get("rescale_factor", 1 / 255)
    if not isinstance(factor, int | float) or not math.isclose(factor, 1 / 255, rel_tol=1e-5):
        raise _refused(path, "rescale_factor", factor, "levels 0 to 255 are divided by 255 here")
    resample = facts.get("resample")
    if resample is not None and resample not in _FILTERS:
        raise _refused(path, "resample", resample, "2 is bilinear and 3 bicubic")
    said["interpolation"] = None if resample is None else _FILTERS[resample]
    said["resize_mode"], said["size"] = _resize(facts, path)
    return {name: value for name, value in said.items() if value is not None}


def _resize(facts: Mapping[str, Any], path: Path) -> tuple[str | None, Any]:
    """The way of resizing and the size after it, as far as they are stated."""
    size = facts.get("size")
    crop = _side(facts.get("crop_size")) if facts.get("do_center_crop") else None
    if size is None:
        return None, crop
    if isinstance(size, int):  # the shorter side where a crop follows
        mode, side = ("shortest" if crop else "squash"), size
    elif isinstance(size, dict) and set(size) == {"shortest_edge"}:
        mode, side = "shortest", size["shortest_edge"]
    elif isinstance(size, dict) and set(size) == {"height", "width"}:
        mode, side = "squash", _side(size)
    else:
        raise _refused(path, "size", size, "known are shortest_edge, or height and width")
    if crop is not None and crop != side:
        raise _refused(
            path, "crop_size", facts.get("crop_size"), f"images are resized to {side} and not cut"
        )
    if mode == "shortest" and crop is None:
        raise _refused(path, "size", size, "without do_center_crop images are not square")
    return mode, side


def _side(size: Any) -> Any:
    """One number of a square, or what is stated."""
    if isinstance(size, dict) and set(size) == {"height", "width"}:
        return size["height"] if size["height"] == size["width"] else [*size.values()]
    return size


def _refused(path: Path, name: str, value: Any, why: str) -> UserError:
    return UserError(f"{path}: {name} = {value!r} is not supported ({why})")
