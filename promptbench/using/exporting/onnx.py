"""An export as ONNX: one file from normalised images to logits. Needs the extra `onnx`."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from promptbench.errors import UserError, one_line
from promptbench.using.exporting.head import Head
from promptbench.using.predictor import Predictor

FILE = "model.onnx"
USAGE = """\
import json
from pathlib import Path

import numpy as np, onnxruntime
from PIL import Image

folder = Path(".")  # where this file lies
about = json.loads((folder / "promptbench.json").read_text(encoding="utf-8"))
how = about["preprocess"]
size, method = how["size"], Image.Resampling[how["interpolation"].upper()]
image = Image.open("photo.jpg").convert("RGB")
if how["resize_mode"] == "squash":
    image = image.resize((size, size), method)
else:
    assert how["resize_mode"] == "shortest", "the longest side to size, the rest fill_color"
    image = image.resize([side * size // min(image.size) for side in image.size], method)
    left, top = (round((side - size) / 2) for side in image.size)
    image = image.crop((left, top, left + size, top + size))
pixels = (np.asarray(image, np.float32) / 255 - how["mean"]) / how["std"]
images = pixels.transpose(2, 0, 1)[None].astype(np.float32)
session = onnxruntime.InferenceSession(folder / "model.onnx")
(logits,) = session.run(None, {"images": images})
print(about["classes"][int(logits[0].argmax())])
"""


class _Classifier(nn.Module):
    """An image encoder with a head, from normalised images [n, 3, size, size] to logits."""

    def __init__(self, visual: nn.Module, head: Head) -> None:
        super().__init__()
        self.visual, self.normalised = visual, head.normalised
        self.register_buffer("weight", head.weight)
        self.register_buffer("bias", head.bias)
        self.weight: Tensor
        self.bias: Tensor

    def forward(self, images: Tensor) -> Tensor:
        features = self.visual(images)
        if self.normalised:
            features = features / features.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        logits: Tensor = features @ self.weight.T + self.bias
        return logits


def write(model: Predictor, head: Head, folder: Path) -> None:
    """Write encoder and head into one file.

    Raises:
        UserError: packages are missing, or torch cannot write this encoder as ONNX.
    """
    _runtime()
    opened = model.opened
    visual = opened.backbone.towers.model.visual
    size = model.preprocess.size
    classifier = _Classifier(visual, head).to(opened.compute.device).eval()
    images = torch.zeros(2, 3, size, size, device=opened.compute.device)
    said = io.StringIO()
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            warnings.simplefilter("ignore")  # of the exporter, about itself
            torch.onnx.export(
                classifier,
                (images,),
                str(folder / FILE),
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes={"images": {0: torch.export.Dim("n")}},
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # the exporter raises what it likes
        raise UserError(
            f"{opened.backbone.name} cannot be written as ONNX by torch {torch.__version__}: "
            f"{one_line(error)}"
        ) from error


def logits(folder: Path, head: Head, images: Tensor) -> Tensor:
    """Logits [n, n_classes] of normalised images, by onnxruntime from the folder."""
    session = _runtime().InferenceSession(str(folder / FILE), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": images.numpy()})
    return torch.from_numpy(found)


def _runtime() -> Any:
    try:
        import onnx  # noqa: F401  (torch's exporter imports it)
        import onnxruntime
        import onnxscript  # noqa: F401  (as above)
    except ImportError as error:
        raise UserError(
            f"an export as ONNX needs the package {error.name}: pip install 'promptbench-vlm[onnx]'"
        ) from error
    return onnxruntime
