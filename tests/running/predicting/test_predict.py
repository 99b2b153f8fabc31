"""Inference: what is refused instead of being counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import promptbench
from promptbench.contract import OTHER, TRAIN, tiny_towers
from promptbench.core.method import ClassSet
from promptbench.data.loader import Batch
from promptbench.errors import UserError
from promptbench.methods.zeroshot import ZeroShot
from promptbench.running.lab.compute import Compute, resolve
from promptbench.running.predicting import scoring
from promptbench.running.predicting.predict import Predictions, predict, rule_of
from promptbench.tracking import Listener

BATCH = Batch(torch.zeros(3, 3, 16, 16), torch.tensor([0, 1, 0]), ("a", "b", "c"))


def predicted(logits: Tensor) -> Predictions:
    def rule(*_: Any) -> Tensor:
        return logits

    method = ZeroShot(tiny_towers(), TRAIN)
    with Listener().task("predict", 3, "images") as task:
        return predict(method, OTHER, [BATCH], rule, resolve("cpu", "fp32"), task)


def test_logits_that_are_no_numbers_are_refused_with_the_first_image() -> None:
    logits = torch.zeros(3, len(OTHER))
    logits[1:, 1] = float("nan")
    with pytest.raises(UserError, match=r"\(NaN\) for 2 of 3 images .* the first is 'b'"):
        predicted(logits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_infinite_logits_are_numbers_and_the_first_of_equal_ones_counts(dtype: torch.dtype) -> None:
    logits = torch.full((3, len(OTHER)), float("-inf"), dtype=dtype)
    logits[0, 1], logits[1, 0] = float("inf"), 2.0
    assert predicted(logits).predicted == [1, 0, 0]


def test_logits_of_another_shape_are_refused() -> None:
    with pytest.raises(UserError, match=r"logits of shape \(2, 2\) for 3 images"):
        predicted(torch.zeros(2, 2))


def test_a_method_in_training_mode_is_evaluated() -> None:
    """Whatever mode a caller has left it in: dropout and batch statistics are training's."""
    modes: list[bool] = []

    class Watched(ZeroShot):
        def prepare(self, classes: ClassSet) -> Tensor:
            modes.append(self.training)
            return super().prepare(classes)

        def logits(self, images: Tensor, prepared: Tensor) -> Tensor:
            modes.append(self.training)
            return super().logits(images, prepared)

    method = Watched(tiny_towers(), TRAIN)
    method.train()
    rule = rule_of(method, "unified", "none")
    with Listener().task("predict", 3, "images") as task:
        predict(method, OTHER, [BATCH], rule, resolve("cpu", "fp32"), task)
    assert modes == [False, False]


def test_the_class_side_is_timed_apart_from_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two readings of the clock lies all of `prepare`, and nothing else."""
    seen: list[str] = []

    class Watched(ZeroShot):
        def prepare(self, classes: ClassSet) -> Tensor:
            seen.append("prepare")
            return super().prepare(classes)

        def logits(self, images: Tensor, prepared: Tensor) -> Tensor:
            seen.append("logits")
            return super().logits(images, prepared)

    def clock(_: Compute) -> float:
        seen.append("clock")
        return 4.0 * len(seen)

    monkeypatch.setattr(Compute, "clock", clock)
    method = Watched(tiny_towers(), TRAIN)
    rule = rule_of(method, "unified", "none")
    with Listener().task("predict", 6, "images") as task:
        found = predict(method, OTHER, [BATCH, BATCH], rule, resolve("cpu", "fp32"), task)
    assert seen == ["clock", "prepare", "clock", "logits", "logits"]
    assert found.class_seconds == 8.0


def test_a_clock_is_read_when_the_device_has_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    finished: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", finished.append)
    resolve("cpu", "fp32").clock()
    assert finished == []
    gpu = Compute(torch.device("cuda:1"), "bf16")
    assert 0 <= gpu.clock() <= gpu.clock()
    assert finished == [gpu.device] * 2


def test_each_target_starts_with_towers_that_remember_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a method has made the towers remember of one target does not reach the next."""
    remembered: list[tuple[int, int]] = []

    def predict_and_look(method: Any, *rest: Any) -> Predictions:
        before = len(method.towers.text._memo)
        found = predict(method, *rest)
        remembered.append((before, len(method.towers.text._memo)))
        return found

    monkeypatch.setattr(scoring, "predict", predict_and_look)
    options: dict[str, Any] = {"datasets": ["counts"], "seeds": [1], "limit": 4, "quiet": True}
    promptbench.run("zeroshot", "base_to_new", out=tmp_path, **options)
    assert [before for before, _ in remembered] == [0, 0]
    assert all(after > 0 for _, after in remembered)  # there is something to forget


def test_a_training_leaves_its_method_in_evaluation_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[bool] = []

    def predict_and_look(method: Any, *rest: Any) -> Predictions:
        modes.append(method.training)
        return predict(method, *rest)

    monkeypatch.setattr(scoring, "predict", predict_and_look)
    options: dict[str, Any] = {"datasets": ["counts"], "seeds": [1], "limit": 4, "quiet": True}
    options |= {"shots": 1, "set": ["Recipe.epochs=1"], "baseline": False}
    promptbench.run("coop", "few_shot", out=tmp_path, **options)
    assert modes == [False]
