"""Weights of transformers: the features of open_clip's towers are theirs, and what is refused.

`transformers.safetensors` holds tiny random models of transformers 5.24 with the features that it
computes. Both use the activations of open_clip's architectures: SigLIP's published configuration
has GELU's tanh approximation, which moves its features by some 1e-5.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from promptbench.errors import UserError
from promptbench.models import backbones
from promptbench.models.backbones import checkpoints, fitting, state_dicts, transformers_config
from promptbench.models.backbones import transformers_names as names
from promptbench.support.compat import import_open_clip

VECTORS = load_file(Path(__file__).with_suffix("").with_name("transformers.safetensors"))
TEXT = {"context_length": 8, "vocab_size": 40, "width": 16, "heads": 2, "layers": 2}
VISION = {"image_size": 16, "patch_size": 8, "width": 24, "layers": 2, "head_width": 8}
NAME = "ViT-B-32-quickgelu"


def weights_of(kind: str) -> dict[str, Tensor]:
    start = f"{kind}/weights/"
    return {n.removeprefix(start): v for n, v in VECTORS.items() if n.startswith(start)}


def small_clip() -> Any:
    clip = import_open_clip().model.CLIP
    return clip(embed_dim=12, vision_cfg=VISION, text_cfg=TEXT, quick_gelu=True).eval()


def small_siglip(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Open_clip's ViT-B-16-SigLIP with towers of two blocks."""
    open_clip = import_open_clip()
    timm = open_clip.timm_model.timm
    create = timm.create_model
    size = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}
    monkeypatch.setattr(timm, "create_model", lambda name, **kw: create(name, **{**kw, **size}))
    config = open_clip.get_model_config("ViT-B-16-SigLIP")
    config["vision_cfg"]["image_size"] = 16
    del config["custom_text"]
    text = config["text_cfg"] | TEXT
    return open_clip.model.CustomTextCLIP(**config | {"embed_dim": 24, "text_cfg": text}).eval()


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_features_are_those_of_transformers(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    save_file(weights_of(kind), path)
    model = small_clip() if kind == "clip" else small_siglip(monkeypatch)
    fitting.load(model, state_dicts.read(path), kind, path)
    with torch.inference_mode():
        image = model.encode_image(VECTORS["images"], normalize=True)
        text = model.encode_text(VECTORS["tokens"], normalize=True)
        logits = model.logit_scale.exp() * image @ text.T
        if model.logit_bias is not None:
            logits = logits + model.logit_bias
    assert torch.allclose(image, VECTORS[f"{kind}/image"], atol=1e-5)
    assert torch.allclose(text, VECTORS[f"{kind}/text"], atol=1e-5)
    assert torch.allclose(logits, VECTORS[f"{kind}/logits"], atol=1e-4)


def test_every_name_becomes_another_one_of_its_own() -> None:
    for kind in ("clip", "siglip"):
        state = weights_of(kind)
        made = names.converted(state, kind)
        assert sum(v.numel() for v in made.values()) == sum(v.numel() for v in state.values())


def without(state: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not name.startswith(start)}


def test_what_is_missing_or_unknown_is_named() -> None:
    state = weights_of("clip")
    counted = {**state, "text_model.embeddings.position_ids": torch.arange(8)[None]}
    assert names.converted(counted, "f").keys() == names.converted(state, "f").keys()
    key = "vision_model.encoder.layers.0.self_attn.k_proj.bias"
    cases = [
        (without(state, "text_model."), "f holds one tower of transformers only, and no text"),
        (without(state, key), r"f lacks a part of visual\..*in_proj_bias: the k_proj"),
        ({**state, "vision_model.extra": torch.zeros(1)}, r"does not have: vision_model\.extra"),
        (without(state, "visual_projection"), "neither transformers' CLIP .* nor its SigLIP"),
    ]
    for given, said in cases:
        with pytest.raises(UserError, match=said):
            names.converted(given, "f")
    patches = {"vision_model.embeddings.patch_embedding.weight": torch.zeros(24, 768)}
    with pytest.raises(UserError, match=r"variable resolution \(NaFlex\)"):
        names.converted({**weights_of("siglip"), **patches}, "f")


# --- what lies beside them ----------------------------------------------------------------------


CLIP_IMAGES = {
    "do_center_crop": True,
    "do_resize": True,
    "do_normalize": True,
    "crop_size": {"height": 224, "width": 224},
    "size": {"shortest_edge": 224},
    "resample": 3,
    "rescale_factor": 1 / 255,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
SIGLIP_IMAGES = {
    "size": {"height": 224, "width": 224},
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "resample": 2,
}


def folder(place: Path, images: Any = None, **model: Any) -> Path:
    (place / "config.json").write_text(json.dumps({"model_type": "clip", **model}))
    if images is not None:
        (place / "preprocessor_config.json").write_text(json.dumps(images))
    save_file({"weight": torch.zeros(1)}, place / "model.safetensors")
    return place


def test_a_folder_of_transformers_says_activation_and_preprocessing(tmp_path: Path) -> None:
    place = folder(tmp_path, CLIP_IMAGES)
    found = backbones.find(NAME, str(place))
    assert found.activation == "QuickGELU" and found.label == f"{tmp_path.name}/"
    assert not found.is_silent and not backbones.preprocess_of(NAME, found).departures
    folder(tmp_path, SIGLIP_IMAGES)
    squashed = backbones.preprocess_of(NAME, backbones.find(NAME, str(place)))
    assert squashed.marks == (
        "mean 0.5 0.5 0.5",
        "std 0.5 0.5 0.5",
        "interpolation bilinear",
        "resize squash",
    )
    folder(tmp_path, CLIP_IMAGES, vision_config={"hidden_act": "gelu"}, text_config={})
    with pytest.raises(UserError, match=r"config\.json: hidden_act differs"):
        backbones.find(NAME, str(place))
    gelu = {"hidden_act": "gelu"}
    folder(tmp_path, CLIP_IMAGES, vision_config=gelu, text_config=gelu)
    with pytest.raises(UserError, match="trained with GELU, but ViT-B-32-quickgelu computes"):
        backbones.find(NAME, str(place))


def test_words_of_newer_versions_stand_in_one_file(tmp_path: Path) -> None:
    folder(tmp_path)
    content = {"image_processor": SIGLIP_IMAGES, "tokenizer": {}}
    (tmp_path / "processor_config.json").write_text(json.dumps(content))
    found = transformers_config.beside(tmp_path)
    assert found is not None and found.preprocess["resize_mode"] == "squash"
    assert found.path.name == "processor_config.json"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": {"longest_edge": 224}}, "size = .*known are shortest_edge"),
        ({"crop_size": 200}, "crop_size = 200 is not supported .images are resized to 224"),
        ({"do_center_crop": False}, "without do_center_crop images are not square"),
        ({"resample": 0}, "resample = 0 .*2 is bilinear"),
        ({"do_rescale": False}, "do_rescale = False"),
        ({"do_resize": False}, "do_resize = False"),
        ({"rescale_factor": 1.0}, r"rescale_factor = 1\.0"),
        ({"size": {"shortest_edge": 336}, "crop_size": 336}, "the model takes 224 x 224"),
        ({"image_mean": [0.5] * 4}, "mean = .*three numbers"),
    ],
)
def test_words_that_cannot_be_honoured_are_refused(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=rf"preprocessor_config\.json: .*{said}"):
        backbones.find(NAME, str(folder(tmp_path, CLIP_IMAGES | change)))


def test_another_kind_of_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a model of the kind 'blip'; .* clip, metaclip_2, siglip"):
        checkpoints.find(NAME, str(folder(tmp_path, model_type="blip")))
    acts = {"vision_config": {"hidden_act": "relu"}}
    with pytest.raises(UserError, match=r"vision_config\.hidden_act is 'relu'"):
        checkpoints.find(NAME, str(folder(tmp_path, **acts)))


def test_a_foreign_config_beside_other_files_is_left_alone(tmp_path: Path) -> None:
    folder(tmp_path, model_type="blip")
    save_file({"weight": torch.zeros(1)}, tmp_path / "mine.safetensors")
    assert checkpoints.find(NAME, str(tmp_path / "mine.safetensors")).config is None
