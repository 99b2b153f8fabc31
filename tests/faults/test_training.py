"""What can go wrong inside a training: loss, clock, memory, and going on within an epoch."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from promptbench.core.method import Method
from promptbench.core.recipe import Recipe
from promptbench.core.registry import METHODS
from promptbench.data.images.augmentation import Augment
from promptbench.running.failures import CellsFailed
from promptbench.running.lab import Lab
from promptbench.running.retry import _pieces as pieces
from promptbench.running.training import snapshot, train
from promptbench.tracking import Listener
from tests.faults import driver
from tests.faults.driver import NOISY, TINY
from tests.short_form import first

ONE: dict[str, Any] = {"seeds": [1], "baseline": False}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("undisturbed")
    driver.run(out, **ONE, checkpoint_minutes=5)
    return driver.numbers(out)


def test_a_loss_that_is_not_finite_stops_at_once(tmp_path: Path) -> None:
    fault = {"set": [*TINY["set"], "Noisy.fault='nan'", "Noisy.at=6"]}  # four steps an epoch
    message = (
        r"loss term 'size' is nan at epoch 2, step 2; .*"
        r"last good checkpoint is of epoch 2, step 1: .*checkpoint\.pt"
    )
    with pytest.raises(CellsFailed, match=message):
        driver.run(tmp_path, **ONE, **fault)
    (path,) = tmp_path.rglob("checkpoint.pt")
    state = snapshot.read(path, Listener())
    assert state is not None and bool(torch.isfinite(state["method"]["shift"]).all())
    assert int(state["method"]["steps"]) == 5


def test_parameters_that_are_not_finite_reach_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(self: torch.optim.Optimizer, *_: Any) -> None:
        with torch.no_grad():
            self.param_groups[0]["params"][0].fill_(float("inf"))

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(CellsFailed, match="parameter 'shift' is not finite after epoch 1, step 1"):
        driver.run(tmp_path, **ONE)
    assert not list(tmp_path.rglob("checkpoint.pt"))


@pytest.mark.parametrize("step", first(2, [5, 11, 1, 2, 8]))
def test_a_training_goes_on_within_an_epoch_to_the_same_bits(
    undisturbed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    class Cut(BaseException):
        pass

    counter = itertools.count(1)
    save = snapshot.Snapshots.save

    def cut(self: snapshot.Snapshots, progress: snapshot.Progress) -> None:
        save(self, progress)
        if next(counter) == step:
            raise Cut

    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(snapshot.Snapshots, "save", cut)
        driver.run(tmp_path, **ONE)
    driver.run(tmp_path, **ONE, checkpoint_minutes=5)
    assert driver.numbers(tmp_path) == undisturbed


def test_snapshots_within_an_epoch_follow_the_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[str] = []
    monkeypatch.setattr(snapshot.Snapshots, "save", lambda _, progress: saved.append(str(progress)))
    driver.run(tmp_path, **ONE, checkpoint_minutes=5)
    assert saved == ["epoch 1", "epoch 2", "epoch 3"]


@pytest.mark.parametrize("jump", [-1e6, 1e6])
def test_a_clock_that_jumps_changes_nothing(
    undisturbed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    real, calls = time.time, itertools.count()
    monkeypatch.setattr(time, "time", lambda: real() + jump * (next(calls) % 2))
    (record,) = driver.run(tmp_path, **ONE, checkpoint_minutes=5)
    assert {record.cell_id: record.numbers()} == undisturbed
    assert 0 < record.training.seconds < 600
    for target in record.targets:
        assert target.class_seconds is not None
        assert 0 < target.class_seconds <= target.seconds < 600


@pytest.fixture
def short_of_memory(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int | None, int]]:
    """A GPU that bears at most 16 class prompts in training and 8 images in evaluation."""
    tried: list[tuple[int | None, int]] = []
    noisy = METHODS.load(METHODS.add_file(NOISY)).cls
    losses, logits = noisy.losses, noisy.logits

    def full() -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def bounded_losses(self: Method, *arguments: Any) -> Any:
        chunk = self.towers.text.class_chunk
        return full() if chunk is None or chunk > 16 else losses(self, *arguments)

    def bounded_logits(self: Method, images: Any, prepared: Any) -> Any:
        if not torch.is_grad_enabled():
            tried.append((self.towers.text.class_chunk, len(images)))
        return full() if len(images) > 8 else logits(self, images, prepared)

    as_on_a_gpu = property(lambda lab: lab.eval_batch)
    monkeypatch.setattr(Lab, "images_at_once", as_on_a_gpu)
    monkeypatch.setattr(noisy, "losses", bounded_losses)
    monkeypatch.setattr(noisy, "logits", bounded_logits)
    return tried


def test_out_of_memory_is_tried_again_with_less_and_the_same_numbers(
    undisturbed: dict[str, Any],
    tmp_path: Path,
    short_of_memory: list[tuple[int | None, int]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places: list[str] = []
    augment_of = train.augment_of

    def watched(recipe: Recipe, lab: Lab) -> Augment:
        places.append(lab.augment)
        return augment_of(recipe, lab)

    monkeypatch.setattr(train, "augment_of", watched)
    driver.run(tmp_path, **{**ONE, "quiet": False}, augment="device")
    assert places[0] == "device" and set(places[1:]) == {"host"}  # images leave the GPU, too
    assert driver.numbers(tmp_path) == undisturbed
    assert {images for _, images in short_of_memory} == {8, 4}  # 20 images: 8, 8, 4
    said = " ".join(capsys.readouterr().err.split())
    assert "out of GPU memory; trying again with 16 class prompts and 8 test images" in said


def test_out_of_memory_for_single_pieces_is_a_failure(tmp_path: Path) -> None:
    fault = {"set": [*TINY["set"], "Noisy.fault='memory'", "Noisy.at=1"]}
    with pytest.raises(CellsFailed, match=r"even with single .*\(CUDA out of memory"):
        driver.run(tmp_path, **ONE, **fault)


def test_pieces_only_become_smaller() -> None:
    assert list(pieces(None, 100)) == [
        (None, 100),
        (64, 25),
        (16, 8),
        (4, 2),
        (1, 1),
    ]
    assert list(pieces(8, 100)) == [(8, 100), (8, 25), (8, 8), (4, 2), (1, 1)]
    assert list(pieces(1, 1)) == [(1, 1)]
