"""An export for Hugging Face transformers: CLIP's image encoder as CLIPVisionModelWithProjection,
and the head beside it. Needs the extra `transformers`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from promptbench.errors import UserError
from promptbench.models.backbones import transformers_names
from promptbench.storage.files import write_whole
from promptbench.using.exporting.head import Head
from promptbench.using.predictor import Predictor

_RESAMPLING = {"bilinear": 2, "bicubic": 3}  # Pillow's numbers
USAGE = """\
import json
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

folder = Path(".")  # where this file lies
model = CLIPVisionModelWithProjection.from_pretrained(folder).eval()
processor = CLIPImageProcessor.from_pretrained(folder)
head = load_file(folder / "head.safetensors")
about = json.loads((folder / "promptbench.json").read_text(encoding="utf-8"))
with torch.inference_mode():
    features = model(**processor(Image.open("photo.jpg"), return_tensors="pt")).image_embeds
    if about["normalised"]:
        features = torch.nn.functional.normalize(features, dim=-1)
    logits = features @ head["weight"].T + head["bias"]
print(about["classes"][int(logits.argmax())])
"""


def write(model: Predictor, head: Head, folder: Path) -> None:
    """Write the image encoder and its processor into a folder that transformers opens.

    Raises:
        UserError: transformers is missing, or its CLIP does not have this encoder.
    """
    theirs = _library()
    backbone = model.opened.backbone
    state = {f"visual.{k}": v for k, v in backbone.towers.model.visual.state_dict().items()}
    try:
        named = transformers_names.vision_to_transformers(state)
    except KeyError as error:
        raise UserError(
            f"transformers' CLIP has no image encoder like that of {backbone.name} (it has "
            f"{error.args[0]}); export to open_clip or onnx"
        ) from error
    wanted = theirs.CLIPVisionConfig(**_config(model, named))
    built = theirs.CLIPVisionModelWithProjection(wanted).eval()
    missing, unexpected = built.load_state_dict(named, strict=False)
    left = [name for name in (*missing, *unexpected) if not name.endswith("position_ids")]
    if left:
        raise UserError(
            f"transformers' CLIP has no image encoder like that of {backbone.name} ({left[0]}); "
            "export to open_clip or onnx"
        )
    with _without_bars(theirs):
        built.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):  # written for their owner only
        path.chmod((folder / "config.json").stat().st_mode)
    processor = json.dumps(_processor(model), indent=1) + "\n"
    write_whole(folder / "preprocessor_config.json", processor.encode())


def logits(folder: Path, head: Head, images: Tensor) -> Tensor:
    """Logits [n, n_classes] of normalised images, by transformers from the folder."""
    theirs = _library()
    with _without_bars(theirs):
        model = theirs.CLIPVisionModelWithProjection.from_pretrained(str(folder)).eval()
    found: Tensor = head(model(pixel_values=images).image_embeds.to(torch.float32))
    return found


def _config(model: Predictor, named: dict[str, Tensor]) -> dict[str, Any]:
    """What transformers must know of the encoder, from its tensors and its architecture."""
    visual = model.opened.backbone.towers.model.visual
    patches = named["vision_model.embeddings.patch_embedding.weight"]
    block = visual.transformer.resblocks[0]
    fast = type(block.mlp.gelu).__name__ == "QuickGELU"
    return {
        "hidden_size": patches.shape[0],
        "intermediate_size": named["vision_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
        "projection_dim": named["visual_projection.weight"].shape[0],
        "num_hidden_layers": len(visual.transformer.resblocks),
        "num_attention_heads": block.attn.num_heads,
        "image_size": model.preprocess.size,
        "patch_size": patches.shape[-1],
        "hidden_act": "quick_gelu" if fast else "gelu",
        "layer_norm_eps": block.ln_1.eps,
    }


def _processor(model: Predictor) -> dict[str, Any]:
    """How images enter, as CLIPImageProcessor reads it.

    Raises:
        UserError: a way of resizing that it does not have.
    """
    own = model.preprocess
    if own.resize_mode == "longest":
        raise UserError(
            "transformers' CLIPImageProcessor does not resize the longest side and fill, as images "
            f"enter {model.opened.backbone.name}; export to open_clip or onnx"
        )
    whole = {"height": own.size, "width": own.size}
    shortest = own.resize_mode == "shortest"
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": own.size} if shortest else whole,
        "resample": _RESAMPLING[own.interpolation],
        "do_center_crop": shortest,
        "crop_size": whole,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(own.mean),
        "image_std": list(own.std),
    }


@contextmanager
def _without_bars(theirs: Any) -> Iterator[None]:
    """Inside the block transformers shows no progress bars."""
    logging = theirs.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _library() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UserError(
            "an export to transformers needs that package: pip install "
            "'promptbench-vlm[transformers]'"
        ) from error
    return transformers
