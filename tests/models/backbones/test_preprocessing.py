"""The preprocessing of weights: read from beside them, and honoured or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from promptbench.demo import model as demo_model
from promptbench.errors import UserError
from promptbench.models import backbones
from promptbench.models.backbones import checkpoints, config_file, preprocessing
from promptbench.models.preprocess import OPENAI_MEAN, OPENAI_STD, Preprocess
from promptbench.support.compat import import_open_clip

NAME = "ViT-B-32-quickgelu"
HALF = (0.5, 0.5, 0.5)
SQUASHED = {"mean": [0.5] * 3, "std": 0.5, "interpolation": "bilinear", "resize_mode": "squash"}


def weights(folder: Path, model: Any = None, preprocess: Any = None) -> str:
    """A file that is not looked into, and what lies beside it."""
    content = {"model_cfg": model, "preprocess_cfg": preprocess}
    (folder / config_file.NAME).write_text(json.dumps({k: v for k, v in content.items() if v}))
    save_file({"weight": torch.zeros(1)}, folder / "w.safetensors")
    return str(folder / "w.safetensors")


def found(path: str) -> Preprocess:
    return backbones.preprocess_of(NAME, backbones.find(NAME, path))


def test_the_defaults_are_open_clips() -> None:
    open_clip = import_open_clip()
    assert (OPENAI_MEAN, OPENAI_STD) == (
        open_clip.OPENAI_DATASET_MEAN,
        open_clip.OPENAI_DATASET_STD,
    )
    theirs = open_clip.transform.PreprocessCfg()
    usual = preprocessing.stated({}, 224, "")
    assert usual == Preprocess(theirs.size, interpolation="bicubic", resize_mode="shortest")
    assert (theirs.interpolation, theirs.resize_mode) == ("bicubic", "shortest")
    assert not usual.departures and not usual.marks


def test_what_lies_beside_weights_holds(tmp_path: Path) -> None:
    made = found(weights(tmp_path, preprocess=SQUASHED))
    assert made == Preprocess(224, HALF, HALF, "bilinear", "squash")
    assert set(made.departures) == {"mean", "std", "interpolation", "resize_mode"}
    assert ", ".join(made.marks) == (
        "mean 0.5 0.5 0.5, std 0.5 0.5 0.5, interpolation bilinear, resize squash"
    )


def test_a_file_that_states_the_usual_changes_nothing(tmp_path: Path) -> None:
    usual = {"size": 224, "mode": "RGB", "mean": list(OPENAI_MEAN), "std": list(OPENAI_STD)}
    more = {"interpolation": "bicubic", "resize_mode": "shortest", "fill_color": 0}
    assert not found(weights(tmp_path, preprocess=usual | more)).departures
    nothing = dict.fromkeys(("mean", "std", "interpolation", "resize_mode"))
    assert not found(weights(tmp_path, preprocess=nothing | {"size": [224, 224]})).departures


def test_what_is_missing_at_the_sides_is_filled_as_stated() -> None:
    longest = {"resize_mode": "longest", "fill_color": 127}
    made = preprocessing.stated(longest, 224, "")
    assert made == Preprocess(224, resize_mode="longest", fill_color=127)
    assert ", ".join(made.marks) == "resize longest, fill 127"
    assert preprocessing.stated(longest | {"fill_color": [127] * 3}, 224, "") == made
    assert preprocessing.stated({"resize_mode": "longest"}, 224, "").marks == ("resize longest",)
    # Without sides to fill it says nothing, and so cannot make two of one preprocessing.
    assert not preprocessing.stated({"fill_color": 127}, 224, "").departures
    for level in (256, -1, 0.5, True, [1, 2, 3], "white", [], 10**30):
        with pytest.raises(UserError, match=r"fill_color = .*from 0 to 255"):
            preprocessing.stated(longest | {"fill_color": level}, 224, "")


def test_what_open_clip_reads_in_its_own_way_is_read_so() -> None:
    """A training's random filter tests with bicubic; one number in a list is of all channels."""
    usual = preprocessing.stated({}, 224, "")
    assert preprocessing.stated({"interpolation": "random"}, 224, "") == usual
    assert preprocessing.stated({"mean": [0.5]}, 224, "").mean == HALF
    assert preprocessing.stated({"mean": 0.5}, 224, "").mean == HALF


REFUSED = {
    "resize_mode": ("crop", "only shortest, squash and longest"),
    "interpolation": ("nearest", "only bicubic and bilinear"),
    "mode": ("RGBA", "images are RGB here"),
    "size": (336, "the model takes 224 x 224"),
    "mean": ([0.5, 0.5, 0.5, 0.5], "three numbers"),
    "std": ([0.5, 0, 0.5], "three numbers from 0.001 on"),
    "crop_pct": (0.9, "known are size, mode"),
}


@pytest.mark.parametrize("key", REFUSED)
def test_what_cannot_be_honoured_is_refused_by_name(key: str, tmp_path: Path) -> None:
    value, why = REFUSED[key]
    path = weights(tmp_path, preprocess={key: value})
    with pytest.raises(UserError, match=f"{config_file.NAME}: .* {key} = .*{why}"):
        backbones.find(NAME, path)


@pytest.mark.parametrize("size", [[224, 336], [], "224", 0, [[224]], [224, 224, 224]])
def test_sizes_that_are_not_the_models_square(size: Any) -> None:
    with pytest.raises(UserError, match="size = "):
        preprocessing.stated({"size": size}, 224, "here")


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "squash"])
KEYS = st.sampled_from([*SQUASHED, "size", "mode", "fill_color"])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(KEYS, SCALARS | st.lists(SCALARS | st.just([]), max_size=4)))
@example({"mean": [10**400, 0, 0]})
@example({"size": [[], []]})
def test_any_table_is_honoured_or_refused(facts: dict[str, Any]) -> None:
    try:
        made = preprocessing.stated(facts, 224, "here")
    except UserError as error:
        assert str(error).startswith("here: preprocessing with ")
    else:
        assert made.size == 224 and min(made.std) > 0 and len(made.mean) == 3


def test_a_registry_entry_is_honoured() -> None:
    entry = import_open_clip().pretrained.get_pretrained_cfg("ViT-L-14", "laion2b_s32b_b82k")
    assert preprocessing.of_registry(entry, 224, "tag") == Preprocess(224, HALF, HALF)
    openai = import_open_clip().pretrained.get_pretrained_cfg("ViT-B-16", "openai")
    assert not preprocessing.of_registry(openai, 224, "openai").departures


def test_a_known_file_and_the_words_beside_it_must_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights(tmp_path, preprocess=SQUASHED)
    known = import_open_clip().pretrained.get_pretrained_cfg(NAME, "openai")
    monkeypatch.setattr(checkpoints, "_known_by_hash", lambda _: known)
    with pytest.raises(UserError, match=r"another preprocessing \(mean 0\.5 .* folder of their"):
        backbones.find(NAME, path)
    weights(tmp_path, preprocess={"resize_mode": "shortest"})
    assert not found(path).departures


# --- the model beside the weights ---------------------------------------------------------------


def test_the_architecture_of_the_file_must_be_the_backbones(tmp_path: Path) -> None:
    config = import_open_clip().get_model_config("ViT-B-16-quickgelu")
    path = weights(tmp_path, model=config)
    said = r"vision_cfg\.patch_size is 16, but .* has 32; use --backbone ViT-B-16-quickgelu$"
    with pytest.raises(UserError, match=said):
        backbones.find(NAME, path)
    assert backbones.find("ViT-B-16-quickgelu", path).activation == "QuickGELU"
    config["vision_cfg"]["head_width"] = 96
    weights(tmp_path, model=config)
    with pytest.raises(UserError, match=r"head_width is 96, .*no --backbone has all"):
        backbones.find("ViT-B-16-quickgelu", path)


def test_defaults_that_a_file_leaves_out_are_filled_in(tmp_path: Path) -> None:
    spare = {"embed_dim": 512, "vision_cfg": {"patch_size": 32}, "text_cfg": {}, "quick_gelu": True}
    assert backbones.find(NAME, weights(tmp_path, model=spare)).activation == "QuickGELU"
    config = demo_model.config()
    config["text_cfg"]["tokenizer_kwargs"]["bpe_path"] = "/elsewhere"
    assert backbones.find(demo_model.NAME, weights(tmp_path, model=config))


def test_a_file_without_a_model_says_nothing_of_the_activation(tmp_path: Path) -> None:
    assert backbones.find(NAME, weights(tmp_path, preprocess=SQUASHED)).activation is None


def test_settings_outside_of_the_tables_are_named_and_where_they_belong(tmp_path: Path) -> None:
    path = weights(tmp_path)
    (tmp_path / config_file.NAME).write_text('{"embed_dim": 512}')
    with pytest.raises(UserError, match=r'"model_cfg".*: it says embed_dim outside of them'):
        backbones.find(NAME, path)
    weights(tmp_path, model={"embed_dim": 512})  # in its own table it is as good as elsewhere
    with pytest.raises(UserError, match=r'says by leaving "quick_gelu" out, was trained with GELU'):
        backbones.find(NAME, path)
    weights(tmp_path, model={"embed_dim": 512, "quick_gelu": True})
    assert backbones.find(NAME, path).activation == "QuickGELU"


STD = ("1e-300", "0", "-0.2", "NaN", "Infinity", "1e999", '"0.2"', "[0.2, 0.2]", "[]", "true")


@pytest.mark.parametrize("std", STD)
def test_a_deviation_that_makes_no_sense_is_refused_by_key_and_file(
    std: str, tmp_path: Path
) -> None:
    path = weights(tmp_path)
    written = f'{{"preprocess_cfg": {{"std": {std}}}}}'
    (tmp_path / config_file.NAME).write_text(written)
    with pytest.raises(UserError, match=config_file.NAME) as error:
        backbones.preprocess_of(NAME, backbones.find(NAME, path))
    assert "std" in str(error.value) or std in ("NaN", "Infinity", "1e999")  # not numbers of JSON


BROKEN = ("{", "[]", '"x"', '{"model_cfg": 3}', '{"preprocess_cfg": []}x')
NO_TABLES = ('{"embed_dim": 512}', '{"model_cfg": {"vision_cfg": [1]}}')


@pytest.mark.parametrize("text", [*BROKEN, *NO_TABLES])
def test_a_broken_file_beside_weights_is_named(text: str, tmp_path: Path) -> None:
    path = weights(tmp_path)
    (tmp_path / config_file.NAME).write_text(text)
    with pytest.raises(UserError, match=config_file.NAME):
        backbones.find(NAME, path)
