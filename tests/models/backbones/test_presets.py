"""Presets: what they name exists in open_clip, agrees with its registry, and is found by files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from promptbench.errors import UserError
from promptbench.models import backbones
from promptbench.models.backbones import architectures, config_file, preprocessing, presets
from promptbench.models.preprocess import Preprocess
from promptbench.planning.request import Request
from promptbench.support.compat import import_open_clip

HALF = (0.5, 0.5, 0.5)


def file_called(name: str, place: Path) -> str:
    """A file that is not looked into; a name without an ending is a folder's."""
    path = place / name
    if not path.suffix or path.suffix.strip(".").startswith(("XL", "14")):
        path = path / "open_clip_model.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"weight": torch.zeros(1)}, path)
    return str(path)


@pytest.mark.parametrize("name", presets.presets())
def test_a_preset_is_what_open_clips_registry_says(name: str) -> None:
    member, open_clip = presets.presets()[name].member, import_open_clip()
    for backbone in member.backbones:
        assert backbone in open_clip.list_models()
    if not member.tag:
        return
    (backbone,) = member.backbones
    entry = open_clip.pretrained.get_pretrained_cfg(backbone, member.tag)
    assert bool(entry.get("quick_gelu")) == bool(
        open_clip.get_model_config(backbone).get("quick_gelu")
    )
    places = [Path(entry.get(key) or "").name for key in ("url", "hf_hub")]
    assert set(places) & set(member.files), (places, member.files)


@pytest.mark.parametrize("name", presets.presets())
def test_a_family_finds_its_member_by_the_files_names(name: str, tmp_path: Path) -> None:
    preset = presets.presets()[name]
    family = next(n for n, f in presets.families().items() if f is preset.family)
    for called in preset.member.files:
        if "*" not in called:
            path = file_called(called, tmp_path)
            assert presets._member_of(family, path).name == name
            assert presets.called_as(Path(path)) == [name]


def test_a_preset_stands_for_architecture_and_preprocessing(tmp_path: Path) -> None:
    """LAION's ViT-L-14 was trained with another mean, which a bare file does not say."""
    path = file_called("CLIP-ViT-L-14-laion2B-s32B-b82K", tmp_path)
    asked = Request(["coop"], "base_to_new", backbone="laion", weights=path).resolved_suite()
    assert (asked.name, asked.backbone) == ("clip", "ViT-L-14")
    assert asked.weights_preset == "laion-vit-l-14"
    found = backbones.find(asked.backbone, asked.weights, asked.weights_preset)
    assert backbones.preprocess_of("ViT-L-14", found) == Preprocess(224, HALF, HALF)
    assert found.activation == "GELU" and backbones.remark_on("ViT-L-14", found) is None
    bare = backbones.find("ViT-L-14", path)
    assert not backbones.preprocess_of("ViT-L-14", bare).departures
    said = backbones.remark_on("ViT-L-14", bare) or ""
    assert "laion2b_s32b_b82k: mean 0.5 0.5 0.5" in said
    assert "say --backbone laion-vit-l-14, as whose they are called, or lay their open_" in said
    remote = file_called("RemoteCLIP-ViT-B-32.pt", tmp_path)  # under the name of its GELU twin
    said = backbones.remark_on("ViT-B-32", backbones.find("ViT-B-32", remote)) or ""
    assert "--backbone remoteclip-vit-b-32, as whose" in said


def test_a_preset_with_a_tag_needs_no_file(tmp_path: Path) -> None:
    assert presets.resolved("dfn-vit-h-14-378", None) == (
        "ViT-H-14-378-quickgelu",
        "dfn5b",
        "dfn-vit-h-14-378",
    )
    with pytest.raises(UserError, match=r"needs --weights: the path of RemoteCLIP-ViT-B-32\.pt"):
        presets.resolved("remoteclip-vit-b-32", None)


def test_a_family_that_cannot_be_told_lists_its_members(tmp_path: Path) -> None:
    path = file_called("mine.pt", tmp_path)
    with pytest.raises(
        UserError, match=r"mine\.pt is called as none .*remoteclip-rn50 \(RemoteCLIP-RN"
    ):
        presets.resolved("remoteclip", path)
    with pytest.raises(
        UserError, match="--backbone dfn needs --weights, or name one of its members: dfn-vit"
    ):
        presets.resolved("dfn", None)
    named = presets.resolved("remoteclip-vit-b-32", path)
    assert named == ("ViT-B-32-quickgelu", path, "remoteclip-vit-b-32")


def test_words_beside_a_presets_file_must_agree_with_it(tmp_path: Path) -> None:
    path = file_called("RemoteCLIP-ViT-B-32.pt", tmp_path)
    beside = tmp_path / config_file.NAME
    beside.write_text(json.dumps({"preprocess_cfg": {"mean": 0.5}}))
    named = presets.resolved("remoteclip", path)
    with pytest.raises(UserError, match="than the preset remoteclip-vit-b-32 does of Remote"):
        backbones.find(*named)
    beside.write_text(json.dumps({"preprocess_cfg": {"mean": [0.48145466, 0.4578275, 0.40821073]}}))
    assert backbones.find(*named).activation == "QuickGELU"


@pytest.mark.parametrize("quick", [True, False])
def test_where_the_file_beside_decides_it_must_be_there(quick: bool, tmp_path: Path) -> None:
    path = file_called("bioclip", tmp_path)
    with pytest.raises(UserError, match=r"open_clip_config\.json must lie beside"):
        presets.resolved("bioclip-vit-b-16", path)
    config: dict[str, Any] = import_open_clip().get_model_config("ViT-B-16") | {"quick_gelu": quick}
    beside = Path(path).with_name(config_file.NAME)
    beside.write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {"mean": 0.5}}))
    named = presets.resolved("bioclip", str(Path(path).parent))
    assert named.backbone == ("ViT-B-16-quickgelu" if quick else "ViT-B-16")
    found = backbones.find(*named)
    assert backbones.preprocess_of(named.backbone, found).mean == HALF
    config["vision_cfg"]["patch_size"] = 32
    beside.write_text(json.dumps({"model_cfg": config}))
    with pytest.raises(UserError, match="is of another model than bioclip-vit-b-16"):
        presets.resolved("bioclip-vit-b-16", path)


def test_an_architecture_without_usual_weights_enters_as_all_of_its_tags() -> None:
    usual = preprocessing.usual_of("ViT-L-14-CLIPA", 224)
    assert (usual.resize_mode, usual.interpolation) == ("squash", "bilinear")
    assert not preprocessing.usual_of("ViT-L-14", 224).departures  # its tags disagree
    assert not preprocessing.usual_of("ViT-M-32", 224).departures  # it has none
    assert preprocessing.usual_of("ViT-B-16-SigLIP", 224).mean == HALF
    assert architectures.architecture("ViT-L-14-CLIPA")


@pytest.mark.parametrize("name", presets.presets())
def test_the_page_has_every_preset_as_it_is(name: str) -> None:
    page = (Path(__file__).parents[3] / "docs" / "backbones.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
    member = presets.presets()[name].member
    assert f"| {' or '.join(member.backbones)} |" in row
    assert all(f"`{file}`" in row for file in member.files)
    if not member.beside:
        size = import_open_clip().get_model_config(member.backbones[0])["vision_cfg"]["image_size"]
        facts = presets.preprocess_facts(presets.presets()[name], import_open_clip().pretrained)
        ways = preprocessing.of_registry(facts, size, name).marks
        usual = ", ".join(ways) or "as OpenAI's"
        assert row.endswith(f"| {usual} |")
