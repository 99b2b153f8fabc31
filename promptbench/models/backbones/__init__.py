"""Building a frozen CLIP through open_clip from an architecture's name and a checkpoint.

A backbone is named by open_clip's registry (`ViT-B-16-quickgelu`), its weights by a tag of that
registry or by a path. Whatever the source, the state dict must fit the architecture exactly, and
an activation that is known not to be the checkpoint's own is refused: QuickGELU weights in a GELU
model load without complaint and lose several points in silence.

What is asked of backbones without loading one is here, and imports no torch; `loading` loads.
"""

from promptbench.models.backbones.architectures import (
    architecture,
    build,
    capabilities_of,
    lacking_in,
    load_tokenizer,
    offering,
    why_not,
)
from promptbench.models.backbones.checkpoints import is_path
from promptbench.models.backbones.finding import find, preprocess_of, remark_on
from promptbench.models.backbones.presets import is_preset, refuse_unknown, resolved

__all__ = [
    "architecture",
    "build",
    "capabilities_of",
    "find",
    "is_path",
    "is_preset",
    "lacking_in",
    "load_tokenizer",
    "offering",
    "preprocess_of",
    "refuse_unknown",
    "remark_on",
    "resolved",
    "why_not",
]
