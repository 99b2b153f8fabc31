"""Loading a frozen CLIP through open_clip: the only file that knows open_clip and checkpoint files."""

from __future__ import annotations

from typing import Any

from promptbench.compat import import_open_clip


def load_tokenizer(backbone: str) -> Any:
    return import_open_clip().get_tokenizer(backbone)
