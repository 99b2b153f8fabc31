"""What the pixels of a decoded image hang on, beside the shard that holds it."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import platform
from typing import Any

import PIL
from PIL import features

from promptbench.core import source_code
from promptbench.data.images.transforms import Normalisation

# What makes pixels of bytes here; mean and std come later (promptbench.data.images.levels).
_SOURCES = (
    *("data/images/decoding.py", "data/images/formats.py", "data/images/transforms.py"),
    "support/compat.py",
)
# Codecs of formats that lose something: Pillow brings them along, or takes the system's.
_CODECS = ("jpg", "libjpeg_turbo", "jpg_2000", "webp", "libtiff", "avif")


def facts_of(shard_sha256: str, target: Normalisation) -> dict[str, Any]:
    """Everything that changes a pixel of a shard's images under the test transform, by name."""
    return {
        "shard": shard_sha256,
        "size": target.size,
        "interpolation": target.interpolation,
        "resize_mode": target.resize_mode,
        "fill_color": target.fill_color,
        **_machinery(),
    }


def digest_of(facts: dict[str, Any]) -> str:
    """The facts in 32 hexadecimal digits."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


@functools.cache
def _machinery() -> dict[str, Any]:
    codecs = {name: features.version(name) for name in _CODECS if name in _known()}
    return {
        "pillow": PIL.__version__,
        "codecs": codecs,
        "torchvision": importlib.metadata.version("torchvision"),
        "machine": platform.machine(),  # weights of resampling are computed in floating point
        "code": source_code.of_files(_SOURCES),
    }


def _known() -> set[str]:
    """Names that this Pillow can be asked for."""
    return {*features.modules, *features.codecs, *features.features}
