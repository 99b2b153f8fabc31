"""Text towers and tokenizers of Hugging Face transformers, where that package is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from benchmarks.backbones import TEXTS, differences, saved
from benchmarks.families import FAMILIES
from promptbench.core.method import ClassSet
from promptbench.errors import UserError
from promptbench.methods.coop import CoOp
from promptbench.models import backbones, edits
from promptbench.models.backbones import loading
from promptbench.models.deltas import Delta

CPU = torch.device("cpu")
INSTALLED = importlib.util.find_spec("transformers") is not None
needs_transformers = pytest.mark.skipif(not INSTALLED, reason="transformers is not installed")
OTHERS = [f for f, has in FAMILIES.items() if "hf_tokenizer_name" in has["text_cfg"]]
CLASSES = ClassSet(("three circles", "one square"), "a photo of a {}.")


@needs_transformers
@pytest.mark.parametrize("family", OTHERS)
def test_a_folder_with_a_tokenizer_has_open_clips_features(family: str, tmp_path: Path) -> None:
    name = saved(family, tmp_path)
    loaded = loading.load(name, str(tmp_path), CPU)
    assert max(differences(loaded.towers, loaded.preprocess.size)) <= 1e-5
    assert loaded.towers.capabilities == backbones.capabilities_of(name)


@needs_transformers
@pytest.mark.parametrize("family", OTHERS)
def test_a_context_of_the_words_themselves_changes_nothing(family: str, tmp_path: Path) -> None:
    """Learned tokens that are the words' own embeddings, and the gradient that they get."""
    towers = loading.load(saved(family, tmp_path), str(tmp_path), CPU).towers
    method = CoOp(towers, CLASSES)
    learned = method.text_features(CLASSES)
    frozen = towers.text.features(towers.text.tokens(CLASSES.prompts))
    assert (learned - torch.nn.functional.normalize(frozen, dim=-1)).abs().max() <= 1e-5
    (learned @ torch.ones(learned.shape[1])).sum().backward()
    assert method.ctx.grad is not None and method.ctx.grad.abs().max() > 0
    drawn = CoOp(towers, CLASSES, n_ctx=3, ctx_init="", class_token_position="middle")
    assert drawn.text_features(CLASSES).isfinite().all()


@needs_transformers
def test_berts_words_can_be_changed_and_its_blocks_cannot(tmp_path: Path) -> None:
    text = loading.load(saved("BiomedCLIP", tmp_path), str(tmp_path), CPU).towers.text
    tokens = text.tokens(TEXTS)
    frozen = text.features(tokens)
    inserted = text.features(tokens, {0: lambda x: edits.insert(x, torch.ones(2, text.width))})
    assert inserted.shape == frozen.shape and (inserted - frozen).abs().max() > 1e-3
    text.class_chunk = 2
    chunked = text.features(tokens, {0: lambda x: edits.insert(x, torch.ones(2, text.width))})
    assert (chunked - inserted).abs().max() <= 1e-5 * inserted.abs().max()
    for change in ({"edits": {1: lambda x: x}}, {"deltas": {1: Delta()}}):
        with pytest.raises(UserError, match="text tower does not offer text_blocks"):
            text.features(tokens, **change)  # type: ignore[arg-type]


@needs_transformers
def test_a_text_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    text = loading.load(saved("ViT-L-14-CLIPA", tmp_path), str(tmp_path), CPU).towers.text
    with pytest.raises(UserError, match=r"has 42 tokens, .* reads at most 32"):
        text.tokens([" ".join(["cat"] * 40)])


@needs_transformers
def test_a_tokenizer_that_is_nowhere_is_said(tmp_path: Path) -> None:
    name = saved("ViT-B-16-SigLIP", tmp_path)
    for file in (*tmp_path.glob("tokenizer*"), *tmp_path.glob("special*")):
        file.unlink()
    with pytest.raises(UserError, match=r"needs the tokenizer nobody/t5 .* beside the weights"):
        loading.load(name, str(tmp_path), CPU)


@pytest.mark.parametrize(("name", "part"), [("BiomedCLIP", "text tower"), ("RN50", None)])
def test_without_transformers_what_needs_it_says_how_to_install_it(
    name: str, part: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n == "transformers" else found(n)
    )
    assert "text_embeddings" in backbones.capabilities_of(name)  # known all the same
    with torch.device("meta"):
        if part is None:
            backbones.build(name, backbones.architecture(name))
            return
        with pytest.raises(UserError, match=rf"the {part} of {name} .*'promptbench-vlm\[trans"):
            backbones.build(name, backbones.architecture(name))


def test_without_transformers_a_tokenizer_of_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n == "transformers" else found(n)
    )
    with pytest.raises(UserError, match=r"the tokenizer of ViT-L-14-CLIPA is one of Hugging Face"):
        backbones.load_tokenizer("ViT-L-14-CLIPA")
