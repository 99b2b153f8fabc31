"""An export: the head of a method and its image encoder in a folder, verified before it is left."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from promptbench.core.method import ClassSet
from promptbench.errors import UserError
from promptbench.running.lab import arithmetic
from promptbench.storage.files import ensure_writable, write_whole
from promptbench.using.exporting import onnx, open_clip, transformers
from promptbench.using.exporting.head import Head, head_of
from promptbench.using.predictor import Classes, Predictor

HEAD, ABOUT, README = "head.safetensors", "promptbench.json", "README.md"
_IMAGES = 4  # of noise, on which an export is verified
_TOLERANCE = 2e-3  # of a logit; cosines times 100 in float32, sums in another order


@dataclass(frozen=True)
class Library:
    """Where an export goes.

    Args:
        write: writes the encoder into a folder, given model and head.
        logits: computes logits of normalised images from such a folder, by the library itself.
        usage: Python that does the same, for the README.
    """

    write: Callable[[Predictor, Head, Path], None]
    logits: Callable[[Path, Head, Tensor], Tensor]
    usage: str


LIBRARIES: dict[str, Library] = {
    "open_clip": Library(open_clip.write, open_clip.logits, open_clip.USAGE),
    "transformers": Library(transformers.write, transformers.logits, transformers.USAGE),
    "onnx": Library(onnx.write, onnx.logits, onnx.USAGE),
}


def export(model: Predictor, to: str, out: Path, classes: Classes | None = None) -> float:
    """Write a method with fixed classes for another library.

    Args:
        model: loaded with precision fp32, in which the others compute.
        to: a name of `LIBRARIES`.
        out: the folder, which must not exist yet.
        classes: class names; None: those that were learned.

    Returns:
        By how much a logit of the export differs at most from the method's own.

    Raises:
        UserError: a method whose inference is not plain, a library that is not installed, a folder
            that exists, or an export that computes other logits, of which nothing is left.
    """
    if out.exists():
        raise UserError(f"{out} exists already; name another folder with --out")
    ensure_writable(out.parent)
    wanted = model.class_set(classes)
    with model.computing():
        head = head_of(model, wanted)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=out.parent) as scratch:
        folder = Path(scratch) / "export"
        folder.mkdir()
        with arithmetic.restored():
            LIBRARIES[to].write(model, head, folder)
        _write_facts(model, head, wanted, to, folder)
        apart = _verified(model, head, wanted, to, folder)
        shutil.move(folder, out)
    return apart


def _write_facts(model: Predictor, head: Head, classes: ClassSet, to: str, folder: Path) -> None:
    record, backbone = model.record, model.opened.backbone
    write_whole(folder / HEAD, save({"weight": head.weight, "bias": head.bias}))
    facts: dict[str, Any] = {
        "format": "promptbench-export/1",
        "library": to,
        "method": record.method.name,
        "title": model.title,
        "cell_id": record.cell_id,
        "classes": list(classes.names),
        "normalised": head.normalised,
        "backbone": backbone.name,
        "weights": backbone.weights,
        "weights_sha256": backbone.sha256,
        "preprocess": asdict(backbone.preprocess),
        "promptbench": record.environment.promptbench,
    }
    text = json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
    write_whole(folder / ABOUT, text.encode())
    usage = LIBRARIES[to].usage
    about = (
        f"# {model.title} on {record.source.dataset}, {len(classes)} classes\n\n"
        f"Written by `promptbench export` from the cell {record.cell_id[:10]}; logits were "
        f"verified against promptbench's own. `{ABOUT}` has the class names in order and how "
        "images enter (`preprocess`). Probabilities are the softmax of the logits.\n\n"
        f"```python\n{usage}```\n"
    )
    write_whole(folder / README, about.encode())


def _verified(model: Predictor, head: Head, classes: ClassSet, to: str, folder: Path) -> float:
    """By how much logits of the export differ at most from the method's own."""
    size = model.preprocess.size
    noise = torch.randn(_IMAGES, 3, size, size, generator=torch.Generator().manual_seed(1))
    with model.computing():
        own = model.logits_of(noise, classes)
        with torch.inference_mode():
            theirs = LIBRARIES[to].logits(folder, head, noise)
    apart = float((own - theirs).abs().max())
    if not apart <= _TOLERANCE:
        raise UserError(
            f"the export to {to} computes other logits than {model.title} does here (by up to "
            f"{apart:.3g}), so it is not kept"
        )
    return apart
