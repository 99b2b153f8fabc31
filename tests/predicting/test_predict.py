"""Inference: what is refused instead of being counted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from promptbench.contract import OTHER, TRAIN, tiny_towers
from promptbench.data.loader import Batch
from promptbench.errors import UserError
from promptbench.lab.compute import resolve
from promptbench.methods.zeroshot import ZeroShot
from promptbench.predicting.predict import Predictions, predict
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
