"""Pretraining: one trial run, its resumption, and the growth of the towers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from promptbench.demo import model
from promptbench.pretraining import pretrain
from promptbench.pretraining import stages as pretrain_stages
from promptbench.pretraining.batches import Batches
from promptbench.support.progress import Task
from promptbench.tracking import Listener


@pytest.mark.long
def test_a_trial_run_ends_in_weights_and_numbers(tmp_path: Path) -> None:
    folders = ["--out", str(tmp_path), "--cache", str(tmp_path / "cache")]
    processors = ["--workers", "1", "--threads", str(torch.get_num_threads())]
    try:
        run = CliRunner().invoke(pretrain.main, ["--scale", "0.0005", *folders, *processors])
    finally:
        torch.use_deterministic_algorithms(False)
    assert run.exit_code == 0, run.output
    digest = pretrain.sha256(tmp_path / model.WEIGHTS.name)
    assert f"sha256 {digest}" in run.stdout
    assert "vision tower on attributes: 4 steps" in run.stderr
    assert "| shapes |" in run.stdout


class _Stages(Listener):
    """Remembers which stages were run and not taken from the cache."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[Task]:
        self.ran.append(label)
        yield Task()


def _train(cache: Path) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Trained weights, and the stages that were run."""
    stages = _Stages()
    corpus = pretrain.make_corpus(cache, 0, 32, 1, Listener())
    return pretrain.train(corpus, cache, 0.0, stages).state_dict(), stages.ran


@pytest.mark.long
def test_training_repeats_and_resumes_behind_its_last_stage(tmp_path: Path) -> None:
    first, ran = _train(tmp_path / "first")
    assert len(ran) == 3
    second, _ = _train(tmp_path / "second")
    max((tmp_path / "second").glob("stage-*"), key=lambda path: path.stat().st_mtime_ns).unlink()
    resumed, ran = _train(tmp_path / "second")
    assert ran == [pretrain_stages.JOINT.name]
    for name, value in first.items():
        assert value.equal(second[name])
        assert value.equal(resumed[name])


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
