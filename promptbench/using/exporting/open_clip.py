"""An export for open_clip: the whole CLIP as its hub folders have it, and the head beside it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from promptbench.models import backbones
from promptbench.storage.files import write_whole
from promptbench.support.compat import import_open_clip
from promptbench.using.exporting.head import Head
from promptbench.using.predictor import Predictor

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
USAGE = """\
import json
from pathlib import Path

import open_clip, torch
from PIL import Image
from safetensors.torch import load_file

folder = Path(".")  # where this file lies
model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
head = load_file(folder / "head.safetensors")
about = json.loads((folder / "promptbench.json").read_text(encoding="utf-8"))
with torch.inference_mode():
    image = preprocess(Image.open("photo.jpg").convert("RGB")).unsqueeze(0)
    features = model.eval().encode_image(image, normalize=about["normalised"])
    logits = features @ head["weight"].T + head["bias"]
print(about["classes"][int(logits.argmax())])
"""


def write(model: Predictor, head: Head, folder: Path) -> None:
    """Write the CLIP of a model into a folder that open_clip opens with "local-dir:"."""
    backbone = model.opened.backbone
    own = asdict(backbone.preprocess)
    size = own.pop("size")
    config = {
        "model_cfg": backbones.architecture(backbone.name),
        "preprocess_cfg": {"size": [size, size], "mode": "RGB", **own},
    }
    write_whole(folder / CONFIG, (json.dumps(config, indent=1) + "\n").encode())
    state = backbone.towers.model.state_dict()
    plain = {name: value.float().cpu().contiguous().clone() for name, value in state.items()}
    write_whole(folder / WEIGHTS, save(plain))


def logits(folder: Path, head: Head, images: Tensor) -> Tensor:
    """Logits [n, n_classes] of normalised images, by open_clip from the folder."""
    open_clip = import_open_clip()
    model, _ = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    found: Tensor = head(model.eval().encode_image(images.to(torch.float32)))
    return found.cpu()
