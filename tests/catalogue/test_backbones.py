"""What `promptbench info` and `ls weights` say of backbones, presets and files of weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.torch import save_file

from promptbench import catalogue
from promptbench.catalogue import backbones
from promptbench.demo import model as demo_model
from promptbench.errors import UserError
from promptbench.models.backbones import config_file, presets, state_dicts
from promptbench.planning.request import Request


def shown(what: str) -> str:
    console = Console(width=200, record=True, file=None, quiet=True)
    console.quiet = False
    with console.capture() as capture:
        catalogue.describe(what, console)
    return capture.get()


def test_an_architecture_shows_how_images_enter_where_tags_differ() -> None:
    facts = backbones.facts_of("ViT-L-14")
    assert facts["images"] == "224 pixels, OpenAI's mean and deviation, bicubic, shortest side"
    assert "; laion2b_s32b_b82k: 224 pixels, mean 0.5 0.5 0.5" in facts["images of tags"]
    assert "laion-vit-l-14" in facts["presets"]
    siglip = shown("ViT-B-16-SigLIP")
    assert "resize squash" in siglip and "images of tags" not in siglip


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_and_family_is_described(name: str) -> None:
    text = shown(name)
    assert "paper" in text and ".members" not in text
    if name in presets.presets():
        assert "pixels" in text or "configuration beside" in text


def test_a_file_of_weights_says_what_it_is(tmp_path: Path) -> None:
    weights = state_dicts.read(Path(demo_model.WEIGHTS))
    save_file(weights, tmp_path / "w.safetensors")
    facts = backbones.facts_of_weights(str(tmp_path / "w.safetensors"))
    assert facts["backbone"] == demo_model.NAME and facts["tensors"] == len(weights)
    assert facts["stated"] == "nothing of how images enter"
    words = {"preprocess_cfg": {"resize_mode": "longest", "fill_color": 255}}
    (tmp_path / config_file.NAME).write_text(json.dumps(words))
    text = shown(str(tmp_path / "w.safetensors"))
    assert "resize longest, fill 255" in text and "12 blocks of width 96" in text
    with pytest.raises(UserError, match="it is empty"):
        (tmp_path / "none").mkdir()
        shown(str(tmp_path / "none"))


def test_unknown_names_have_near_misses_among_presets() -> None:
    with pytest.raises(UserError, match="did you mean 'remoteclip'"):
        shown("remotclip")
    asked = Request(["coop"], "base_to_new", backbone="remoteclip-vit-b-33", weights="w.pt")
    with pytest.raises(UserError, match=r"did you mean 'remoteclip-vit-b-32'.*ls weights"):
        asked.resolved_suite()


def test_the_table_of_weights_has_all_presets() -> None:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(catalogue.table("weights"))
    assert all(name in capture.get() for name in presets.presets())


def test_an_architecture_says_what_it_offers_and_which_methods_run() -> None:
    facts = backbones.facts_of("RN50")
    assert "text_blocks" in facts["offers"].split(", ")
    assert "image_blocks" in facts["does not offer"].split(", ")
    count, _, names = facts["methods"].partition(": ")
    assert int(count) == len(names.split(", "))
    assert "coop" in names.split(", ")
    assert "maple" not in names.split(", ")
    assert "maple" in facts["do not run"]
    assert "need image_blocks" in facts["do not run"]
    whole = backbones.facts_of("ViT-B-16")
    assert whole["methods"].startswith("all ")
    assert not whole["do not run"]
