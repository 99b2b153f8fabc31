"""Checkpoints as trainings leave them: read where that is beyond doubt, else named."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from promptbench.demo import model as demo_model
from promptbench.errors import UserError
from promptbench.models.backbones import config_file, loading, state_dicts
from promptbench.models.backbones.checkpoints import find

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def clip() -> State:
    """Names of a CLIP with small tensors: what is in them does not matter here."""
    torch.manual_seed(0)
    return {name: torch.randn(2) for name in demo_model.build(1).state_dict()}


class Own:
    """A class of somebody's training code, which must not be called."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this must not run",))


def saved(content: Any, path: Path, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def below(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "model.", "clip.", "_orig_mod.module.", "model._orig_mod.", "model.clip."],
)
@pytest.mark.parametrize("holder", [None, "state_dict", "model", "module"])
def test_a_prefix_of_all_names_goes(
    prefix: str, holder: str | None, clip: State, tmp_path: Path
) -> None:
    state = below(prefix, clip)
    path = saved({holder: state, "epoch": 3} if holder else state, tmp_path / "w.pt")
    found = state_dicts.read(path)
    assert found.keys() == clip.keys()
    assert all(torch.equal(found[name], value) for name, value in clip.items())


def test_a_tower_that_was_compiled_keeps_its_names(clip: State, tmp_path: Path) -> None:
    compiled = {n.replace("visual.", "module.visual._orig_mod."): v for n, v in clip.items()}
    compiled = {n if n.startswith("module.") else f"module.{n}": v for n, v in compiled.items()}
    found = state_dicts.read(saved({"state_dict": compiled, "epoch": 3}, tmp_path / "w.pt"))
    assert all(torch.equal(found[name], value) for name, value in clip.items())
    twice = {**clip, "visual._orig_mod.proj": clip["visual.proj"]}
    with pytest.raises(UserError, match=r"a model twice, with and without what torch\.compile"):
        state_dicts.read(saved(twice, tmp_path / "w.pt"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_other_precisions_are_read_as_float32(
    dtype: torch.dtype, ending: str, clip: State, tmp_path: Path
) -> None:
    state = {name: value.to(dtype) for name, value in clip.items()}
    path = tmp_path / f"w.{ending}"
    save_file(state, path) if ending == "safetensors" else saved(state, path)
    found = state_dicts.read(path)
    assert all(value.dtype == torch.float32 for value in found.values())
    assert all(torch.equal(found[name], value.float()) for name, value in state.items())


@pytest.mark.parametrize(
    "dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn, torch.int64, torch.bool]
)
def test_quantised_tensors_are_refused_by_name(
    dtype: torch.dtype, clip: State, tmp_path: Path
) -> None:
    state = clip | {"visual.proj": torch.ones(2, 3).to(dtype)}
    kind = str(dtype).removeprefix("torch.")
    quantised = ", as quantised weights are" if dtype.itemsize == 1 else ""
    with pytest.raises(
        UserError, match=rf"the tensor visual\.proj holds {kind} numbers{quantised},"
    ):
        state_dicts.read(saved(state, tmp_path / "w.pt"))
    whole = clip | {"logit_scale": torch.tensor(4).to(dtype)}
    with pytest.raises(UserError, match=rf"the tensor logit_scale holds {kind} numbers{quantised}"):
        state_dicts.read(saved(whole, tmp_path / "s.pt"))


def test_a_scale_that_is_not_finite_is_refused_and_steps_of_a_norm_are_none(
    clip: State, tmp_path: Path
) -> None:
    counted = clip | {"visual.bn1.num_batches_tracked": torch.tensor(7)}
    assert state_dicts.read(saved(counted, tmp_path / "c.pt")).keys() == counted.keys()
    with pytest.raises(UserError, match=r"logit_scale is 100, and its exponential, .* not finite"):
        state_dicts.read(saved(clip | {"logit_scale": torch.tensor(100.0)}, tmp_path / "w.pt"))


def test_whole_numbers_that_are_places_are_not_weights(clip: State, tmp_path: Path) -> None:
    """Of an HF text tower, and of batch norms of a ResNet."""
    places, count = torch.arange(4)[None], torch.tensor(7)
    state = clip | {
        "text.transformer.embeddings.position_ids": places,
        "visual.bn1.num_batches_tracked": count,
    }
    found = state_dicts.read(saved(state, tmp_path / "w.pt"))
    assert found["text.transformer.embeddings.position_ids"].dtype == torch.int64
    assert found["visual.bn1.num_batches_tracked"] == 7


@pytest.mark.parametrize(
    "names",
    [
        ["visual.trunk.pos_embed", "text.token_embedding.weight", "logit_bias"],  # SigLIP
        ["visual.layer1.0.conv1.weight", "token_embedding.weight"],  # a ResNet
        ["visual.trunk.stem.0.weight", "text.transformer.embeddings.x", "text.proj.0.weight"],
    ],
)
def test_other_towers_are_known_by_their_names(names: list[str], tmp_path: Path) -> None:
    state = {f"module.{name}": torch.ones(2) for name in names}
    found = state_dicts.read(saved({"state_dict": state, "epoch": 3}, tmp_path / "w.pt"))
    assert [*found] == names


def test_what_else_a_training_saves_is_neither_needed_nor_run(
    clip: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkpoint of Lightning, or of open_clip with its arguments: more than torch will load."""
    content = {
        "state_dict": below("model.", clip),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-3}]},
        "hyper_parameters": argparse.Namespace(lr=1e-3, steps={1, 2}),
        "best": np.float64(0.5),
        "curve": np.arange(3.0),
        "own": [Own(), Own()],
    }
    found = state_dicts.read(saved(content, tmp_path / "last.ckpt"))
    assert all(torch.equal(found[name], value) for name, value in clip.items())
    assert "must not run" not in capsys.readouterr().out


def test_an_old_form_with_more_than_tensors_is_refused_by_name(clip: State, tmp_path: Path) -> None:
    old: dict[str, Any] = {"_use_new_zipfile_serialization": False}
    assert state_dicts.read(saved(clip, tmp_path / "plain.pt", **old)).keys() == clip.keys()
    more = {"state_dict": clip, "args": argparse.Namespace(lr=1e-3)}
    with pytest.raises(UserError, match=r"refused .* argparse\.Namespace.*save its state dict"):
        state_dicts.read(saved(more, tmp_path / "more.pth.tar", **old))


LEARNED = {"ctx": torch.zeros(4), "token_prefix": torch.zeros(1), "token_suffix": torch.zeros(1)}
WITH_PROMPTS = {"prompt_learner.ctx": torch.zeros(2), "image_encoder.conv1.weight": torch.zeros(2)}
TRANSFORMERS = {"vision_model.embeddings.x": torch.zeros(2), "logit_scale": torch.zeros(1)}
WRAPPED = {"model.text_model.final_layer_norm.bias": torch.zeros(2)}
OTHERS: dict[str, tuple[Any, str]] = {
    "CoOp's prompt_learner/model.pth.tar-50": (
        {"state_dict": LEARNED, "epoch": 50, "optimizer": {}, "val_result": np.float64(70.0)},
        "has learned, not a backbone; --weights takes the CLIP",
    ),
    "MaPLe's": ({"state_dict": WITH_PROMPTS}, "has learned, not a backbone"),
    "transformers' image tower": (TRANSFORMERS, "one tower of transformers only, and no text"),
    "transformers', wrapped": ({"state_dict": WRAPPED}, "of transformers only, and no image tower"),
    "an optimizer's": ({"optimizer": {"lr": 1.0}, "step": 3}, "in it; it holds optimizer, step"),
    "one tensor": (torch.zeros(3), "no plain state dict of tensors in it$"),
    "nothing": ({}, "no plain state dict of tensors in it$"),
    "a classifier's": ({"fc.weight": torch.zeros(2)}, "it holds fc.weight"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_other_checkpoints_are_called_what_they_are(what: str, tmp_path: Path) -> None:
    content, said = OTHERS[what]
    with pytest.raises(UserError, match=said) as caught:
        state_dicts.read(saved(content, tmp_path / "model.pth.tar-50"))
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["net.clip.", "clip."])
def test_a_clip_among_other_things_is_not_guessed_at(
    prefix: str, clip: State, tmp_path: Path
) -> None:
    content = {"state_dict": {**below(prefix, clip), "head.weight": torch.zeros(2)}}
    said = f"holds a CLIP below {prefix!r}, and beside it head.weight; save"
    with pytest.raises(UserError, match=said):
        state_dicts.read(saved(content, tmp_path / "w.pt"))


def test_what_lies_beside_a_whole_clip_is_named_and_no_other_architecture_asked_for(
    tmp_path: Path,
) -> None:
    whole = state_dicts.read(Path(demo_model.WEIGHTS))
    path = saved({**whole, "step": torch.tensor(3)}, tmp_path / "more.pt")
    with pytest.raises(UserError, match=r"has no tensor 'step'; save a file without these$"):
        loading.load(demo_model.NAME, str(path), torch.device("cpu"))
    deeper = {**whole, "visual.transformer.resblocks.99.ln_1.bias": torch.zeros(3)}
    with pytest.raises(
        UserError, match=r"resblocks\.99.*the file is of a ViT with .* 13 blocks of .*trained as"
    ):
        loading.load(demo_model.NAME, str(saved(deeper, tmp_path / "deep.pt")), torch.device("cpu"))


def test_a_cut_file_is_damaged(clip: State, tmp_path: Path) -> None:
    path = saved({"state_dict": clip, "args": argparse.Namespace()}, tmp_path / "w.pt")
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(UserError, match="damaged"):
        state_dicts.read(path)


# --- folders ------------------------------------------------------------------------------------


def test_a_folder_as_on_the_hub_is_its_weights(clip: State, tmp_path: Path) -> None:
    folder = tmp_path / "CLIP-tiny"
    folder.mkdir()
    (folder / config_file.NAME).write_text("{}")
    torch.save(clip, folder / "open_clip_pytorch_model.bin")
    found = find(demo_model.NAME, str(folder))
    assert found.path.name == "open_clip_pytorch_model.bin" and found.label == "CLIP-tiny/"
    save_file(clip, folder / "open_clip_model.safetensors")
    assert find(demo_model.NAME, f"{folder}/").path.name == "open_clip_model.safetensors"


def test_another_folder_is_called_one(tmp_path: Path) -> None:
    said = r"are a folder, which must be .*open_clip_config\.json and"
    with pytest.raises(UserError, match=said) as caught:
        find(demo_model.NAME, str(tmp_path))
    assert "it holds" not in str(caught.value)
    for name in ("epoch_1.pt", "epoch_2.pt", "log.txt"):
        (tmp_path / name).write_text("")
    with pytest.raises(UserError, match=r"it holds epoch_1\.pt, epoch_2\.pt; name one"):
        find(demo_model.NAME, str(tmp_path))
    (tmp_path / config_file.NAME).write_text("{}")
    with pytest.raises(UserError, match=said):
        find(demo_model.NAME, str(tmp_path))
    (tmp_path / config_file.NAME).unlink()
    (tmp_path / "open_clip_model.safetensors").write_text("")  # of whatever architecture
    with pytest.raises(UserError, match=said):
        find(demo_model.NAME, str(tmp_path))


def test_a_file_is_never_called_as_a_tag_is(
    clip: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(clip, tmp_path / "openai")
    assert find("ViT-B-16-quickgelu", "openai").label == "./openai"
    saved(clip, tmp_path / "w.pt")
    assert find("ViT-B-16-quickgelu", "w.pt").label == "w.pt"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_of_a_training_that_diverged_are_refused(
    clip: State, tmp_path: Path, value: float
) -> None:
    broken = clip | {"logit_scale": torch.tensor(value)}
    with pytest.raises(
        UserError, match=r"1 of its tensors .* not finite, the first is logit_scale"
    ):
        state_dicts.read(saved(broken, tmp_path / "w.pt"))
