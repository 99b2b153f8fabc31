"""`promptbench export`: which methods come to class rows, and what other libraries make of them."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import promptbench
from promptbench.cli import main
from promptbench.errors import UserError
from promptbench.models.backbones import transformers_names
from promptbench.models.preprocess import ResizeMode
from promptbench.using.exporting import export as exports
from promptbench.using.exporting import onnx
from promptbench.using.exporting.head import head_of
from promptbench.using.predictor import Predictor
from tests.using.conftest import cell

INSIDE = "changes what happens inside the image encoder"
CURVED = "not linear in the image features"


def loaded(runs: Path, method: str) -> Predictor:
    return promptbench.load(cell(runs, method), precision="fp32")


@pytest.mark.parametrize(("method", "normalised"), [("coop", True), ("linear_probe", False)])
def test_the_head_is_the_methods_rule(
    runs: Path, pictures: Path, method: str, normalised: bool
) -> None:
    model = loaded(runs, method)
    with model.computing():
        head = head_of(model, model.class_set())
    assert head.normalised is normalised
    if normalised:
        scale = model.opened.backbone.towers.logit_scale
        assert torch.allclose(head.weight, scale * model.text_features(), atol=1e-4)
        assert torch.allclose(head(model.features(pictures)), model.logits(pictures), atol=1e-4)


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        *(("maple", INSIDE), ("mmrl", INSIDE), ("twosfs", INSIDE)),
        *(("tipadapter", CURVED), ("cocoop", CURVED)),
    ],
)
def test_other_rules_are_refused(runs: Path, tmp_path: Path, method: str, reason: str) -> None:
    with pytest.raises(UserError, match=f"cannot be exported as class rows.*{reason}"):
        exports.export(loaded(runs, method), "open_clip", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_open_clip_answers_as_promptbench_does(
    runs: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the README's own code, on an image that is not square."""
    out = tmp_path / "out"
    arguments = ["export", str(cell(runs, "coop")), "--to", "open_clip", "--out", str(out)]
    done = CliRunner().invoke(main, [*arguments, "--classes", "one_dot,two dots,no dot"])
    assert done.exit_code == 0 and "its logits are promptbench's own" in done.stdout
    with Image.open(pictures / "3.png") as image:
        image.resize((90, 70)).save(out / "photo.jpg")
    monkeypatch.chdir(out)
    (code,) = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    wanted = ["one_dot", "two dots", "no dot"]
    own = loaded(runs, "coop").logits(out / "photo.jpg", wanted)
    assert torch.allclose(names["logits"], own, atol=1e-4)
    assert json.loads((out / "promptbench.json").read_text())["classes"] == wanted
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 2 and "exists already" in again.stderr


def test_other_logits_leave_nothing(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = exports.LIBRARIES["open_clip"]
    wrong = replace(own, logits=lambda *given: own.logits(*given) + 0.01)
    monkeypatch.setitem(exports.LIBRARIES, "open_clip", wrong)
    with pytest.raises(UserError, match=r"computes other logits than CoOp.*0\.01"):
        exports.export(loaded(runs, "coop"), "open_clip", tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("library", ["transformers", "onnx"])
def test_libraries_that_are_extras(runs: Path, tmp_path: Path, library: str) -> None:
    for name in {"onnx": ("onnx", "onnxruntime", "onnxscript")}.get(library, (library,)):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    model = loaded(runs, "coop")
    assert exports.export(model, library, tmp_path / "out") < 1e-4
    exports.export(loaded(runs, "linear_probe"), library, tmp_path / "probe")


class _Session:
    """In the place of onnxruntime's: encoder and head in torch, on what the README's code sends."""

    model: Predictor

    def __init__(self, path: Path) -> None:
        assert path.name == "model.onnx"

    def run(self, _: None, given: dict[str, Any]) -> tuple[Any]:
        (images,) = given.values()
        assert str(images.dtype) == "float32"
        return (self.model.logits(torch.from_numpy(images)).numpy(),)


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("size", [(91, 70), (20, 57)])
def test_the_lines_for_onnx_let_images_in_as_promptbench_does(
    runs: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    mode: ResizeMode, size: tuple[int, int],
) -> None:  # fmt: skip
    model = loaded(runs, "coop")
    own = replace(model.preprocess, resize_mode=mode)
    backbone = replace(model.opened.backbone, preprocess=own)
    monkeypatch.setattr(model, "_opened", replace(model.opened, backbone=backbone))
    nothing = exports.Library(lambda *_: None, lambda _, head, images: head(images), onnx.USAGE)
    monkeypatch.setitem(exports.LIBRARIES, "onnx", nothing)
    monkeypatch.setattr(exports, "_verified", lambda *_: 0.0)
    exports.export(model, "onnx", tmp_path / "out")
    with Image.open(pictures / "3.png") as image:
        image.resize(size).save(tmp_path / "out" / "photo.jpg")
    monkeypatch.chdir(tmp_path / "out")
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(InferenceSession=_Session))
    monkeypatch.setattr(_Session, "model", model, raising=False)
    (code,) = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    if mode == "longest":
        with pytest.raises(AssertionError, match="the rest fill_color"):
            exec(code, names)
        return
    exec(code, names)
    assert torch.allclose(torch.as_tensor(names["logits"]), model.logits("photo.jpg"), atol=1e-3)


@pytest.mark.parametrize("library", ["transformers", "onnx"])
def test_a_library_that_is_missing(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=rf"pip install 'promptbench-vlm\[{library}\]'"):
        exports.export(loaded(runs, "coop"), library, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_names_of_transformers_there_and_back(runs: Path) -> None:
    visual = loaded(runs, "zeroshot").opened.backbone.towers.model.visual
    own = {f"visual.{name}": value for name, value in visual.state_dict().items()}
    there = transformers_names.vision_to_transformers(own)
    whole = {**there, "text_model.final_layer_norm.weight": torch.ones(1)}
    back = transformers_names.converted(whole, "here")
    del back["ln_final.weight"]
    assert back.keys() == own.keys()
    assert all(torch.equal(back[name], own[name]) for name in own)
    with pytest.raises(KeyError, match="trunk"):
        transformers_names.vision_to_transformers({"visual.trunk.norm": torch.ones(1)})
