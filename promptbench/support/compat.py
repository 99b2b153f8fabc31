"""Importing open_clip beside a torchvision whose compiled ops do not load.

A torchvision built for another torch (a CUDA build beside a CPU torch, say) fails at import with
"operator torchvision::nms does not exist". promptbench uses torchvision's transforms only, so the
two missing schemas are declared before the import, when and only when the extension is absent.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from promptbench.support.later import called_later

# What open_clip and torchvision import and CLIP's own towers never call.
_LATER = ("timm", "timm.layers", "torch._dynamo", "torch._dynamo.utils")
_IMPORTERS = ("open_clip", "torchvision")
MISMATCH = (
    "torchvision's compiled ops do not load beside this torch; promptbench only needs its "
    "transforms and goes on (`promptbench doctor` explains)"
)
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept: list[Any] = []  # a torch Library lives as long as it is referenced


@functools.cache
def torchvision_ops_load() -> bool:
    """Whether torchvision's compiled extension can be loaded by the installed torch."""
    import torch

    spec = importlib.util.find_spec("torchvision")
    folders = spec.submodule_search_locations if spec else None
    extensions = [path for folder in folders or [] for path in Path(folder).glob("_C*.*")]
    for extension in extensions:
        try:
            torch.ops.load_library(str(extension))
        except OSError:
            return False
    return bool(extensions)


@functools.cache
def survive_torchvision() -> None:
    """Declare torchvision's missing op schemas, with one warning, if its extension is absent."""
    import torch

    if torchvision_ops_load():
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        if not hasattr(torch.ops.torchvision, schema.partition("(")[0]):
            library.define(schema)
    _kept.append(library)
    warnings.warn(MISMATCH, stacklevel=2)


def import_open_clip() -> ModuleType:
    """open_clip, whatever the state of torchvision; without timm until a backbone needs it."""
    survive_torchvision()
    with called_later(*_LATER, by=_IMPORTERS):
        import open_clip

    module: ModuleType = open_clip
    return module


def open_clip_registry() -> ModuleType:
    """open_clip.pretrained: what weights there are; without open_clip's models, whose import takes
    seconds, unless they are imported anyway."""
    if "open_clip" in sys.modules:
        module: ModuleType = import_open_clip().pretrained
        return module
    return importlib.import_module(f"{_open_clip_parts().__name__}.pretrained")


def open_clip_configs() -> dict[str, Callable[[], dict[str, Any]]]:
    """What reads the configuration of each of open_clip's architectures, by name; without its
    models, as `open_clip_registry`."""
    if "open_clip" in sys.modules:
        found = import_open_clip()
        return {
            name: functools.partial(found.get_model_config, name) for name in found.list_models()
        }
    files = Path(_open_clip_parts().__path__[0], "model_configs").glob("*.json")
    return {path.stem: functools.partial(_json, path) for path in files}


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@functools.cache
def _open_clip_parts() -> ModuleType:
    """A package of the modules of open_clip that does not import them all."""
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("No module named 'open_clip'", name="open_clip")
    package = ModuleType(f"{__name__}_open_clip")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules[package.__name__] = package
    return package


def torchvision_functional() -> ModuleType:
    """torchvision.transforms.functional, whatever the state of torchvision's ops."""
    survive_torchvision()
    with called_later(*_LATER, by=_IMPORTERS):
        from torchvision.transforms import functional

    found: ModuleType = functional
    return found
