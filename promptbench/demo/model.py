"""The demo's backbone as open_clip sees it: a name, a configuration and a file of weights."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from promptbench.support.compat import import_open_clip

NAME = "promptbench-tiny"
_FOLDER = Path(__file__).resolve().parent
WEIGHTS = _FOLDER / "tiny_clip.safetensors"
BPE = _FOLDER / "bpe.txt.gz"
_CONFIG = _FOLDER / "tiny_clip.json"


def config(layers: int | None = None) -> dict[str, Any]:
    """open_clip's configuration, with the tokenizer's table as an absolute path.

    Args:
        layers: blocks of both towers, where not the published twelve.
    """
    settings: dict[str, Any] = json.loads(_CONFIG.read_text())
    settings["text_cfg"]["tokenizer_kwargs"]["bpe_path"] = str(BPE)
    if layers is not None:
        settings["vision_cfg"]["layers"] = settings["text_cfg"]["layers"] = layers
    return settings


def register() -> None:
    """Make `NAME` known to open_clip's `create_model` and `get_tokenizer`; once is enough."""
    open_clip = import_open_clip()
    if NAME in open_clip.list_models():
        return
    # open_clip reads configurations from files only, and keeps their content, not the files.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{NAME}.json"
        path.write_text(json.dumps(config()))
        open_clip.add_model_config(path)


def build(layers: int) -> Any:
    """An untrained model of the demo's architecture with the given number of blocks."""
    return import_open_clip().model.CLIP(**config(layers))


def tokenizer() -> Any:
    """open_clip's tokenizer over the world's words."""
    register()
    return import_open_clip().get_tokenizer(NAME)
