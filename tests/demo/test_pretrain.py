"""Pretraining: one trial run, its resumption, and the growth of the towers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from promptbench.demo import model, pretrain_stages
from promptbench.demo.pretrain_data import Batches

ROOT = Path(__file__).parents[2]


def _pretrain(out: Path, cache: Path) -> str:
    command = [sys.executable, "-m", "promptbench.demo.pretrain", "--scale", "0.002"]
    options = ["--out", str(out), "--cache", str(cache), "--workers", "1", "--threads", "1"]
    return subprocess.run(
        command + options, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


def test_a_trial_run_ends_in_weights_and_resumes_to_the_same(tmp_path: Path) -> None:
    output = _pretrain(tmp_path / "first", tmp_path / "cache")
    assert "vision tower on attributes: 6/6" in output
    assert "| shapes |" in output
    again = _pretrain(tmp_path / "second", tmp_path / "cache")
    assert "vision tower" not in again
    first, second = (tmp_path / name / model.WEIGHTS.name for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_growth_multiplies_the_blocks_and_nearly_keeps_the_embeddings() -> None:
    torch.manual_seed(0)
    shallow = model.build(pretrain_stages.SHALLOW_BLOCKS).eval()
    deep = pretrain_stages.grown(shallow).eval()
    assert len(deep.transformer.resblocks) == 12
    images = torch.randn(8, 3, 32, 32)
    with torch.no_grad():
        before = pretrain_stages.image_features(shallow, images)
        after = pretrain_stages.image_features(deep, images)
    assert (before * after).sum(dim=1).min() > 0.9


def test_cut_texts_embed_as_whole_ones() -> None:
    clip = model.build(4).eval()
    tokens = model.tokenizer()(["a photo of a star.", "an arrow"])
    with torch.no_grad():
        whole = torch.nn.functional.normalize(clip.encode_text(tokens), dim=1)
        cut = pretrain_stages.text_features(clip, tokens[:, :9])
    torch.testing.assert_close(cut, whole)


def test_batches_pass_over_all_data_again_and_again() -> None:
    batches = iter(Batches(np.random.default_rng(0), count=10, size=5))
    for _ in range(3):
        assert sorted(np.concatenate([next(batches), next(batches)])) == list(range(10))
