"""How many class prompts a training keeps at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.memory import held
from promptbench.models import edits
from promptbench.models.towers import Towers, memory
from promptbench.running.lab.compute import Compute, Precision
from tests.golden_set import towers
from tests.models.towers.test_tower_speed import TEXTS, N, shared_tokens

F32 = torch.float32


@pytest.fixture
def clip() -> Towers:
    return towers("tiny64")


def test_chunks_fit_a_share_of_the_memory_that_the_device_has() -> None:
    assert memory.fitting(1000, needed=4 * 10**8, room=10**9) is None
    assert memory.fitting(1000, needed=10**9, room=10**9) == 400
    assert memory.fitting(1000, needed=10**12, room=10**9) == 16
    assert memory.fitting(10, needed=10**12, room=10**9) is None  # so few are never cut
    assert memory.total(torch.device("cpu")) is None


def test_chunks_are_decided_once_per_training(
    clip: Towers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first pass with gradient until the towers forget, whatever else asks or is full."""
    asked: list[int] = []

    def total(_: torch.device) -> int:
        asked.append(1)
        return 10_000 * len(asked)

    monkeypatch.setattr(memory, "total", total)
    monkeypatch.setattr(memory, "_LEAST", 3)
    seen: list[int] = []
    original = clip.text._packed

    def packed(x: Tensor, **rest: Any) -> tuple[Tensor, Tensor]:
        seen.append(len(x))
        return original(x, **rest)

    monkeypatch.setattr(clip.text, "_packed", packed)
    clip.forget()
    with torch.no_grad():
        clip.text.features(clip.text.tokens(TEXTS), shared_tokens(torch.ones(N, 4, 64)))
    assert not asked and clip.chunk_in_use is None and set(seen) == {N}
    learned = torch.full((N, 4, 64), 0.1, requires_grad=True)
    for _ in range(3):
        seen.clear()
        clip.text.features(clip.text.tokens(TEXTS), shared_tokens(learned))
        assert max(seen[1:]) == 3  # the first is of frozen blocks
    assert len(asked) == 1 and clip.chunk_in_use == 3
    monkeypatch.setattr(clip.text, "class_chunk", 2)
    assert clip.chunk_in_use == 2  # what is asked for decides
    monkeypatch.setattr(clip.text, "class_chunk", None)
    clip.forget()
    clip.text.features(clip.text.tokens(TEXTS), shared_tokens(learned))
    assert len(asked) == 2
    clip.forget()
    assert clip.chunk_in_use is None


@pytest.mark.parametrize("first", [1, 7])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_what_backward_keeps_is_what_the_estimate_says(first: int, precision: Precision) -> None:
    clip, compute = towers.__wrapped__("tiny64"), Compute(torch.device("cpu"), precision)
    if precision != "fp32":
        clip.cast(compute.dtype)
    tokens = clip.text.tokens(TEXTS)
    learned = torch.full((4, 64), 0.1, requires_grad=True)
    with compute.autocast():
        clip.text.frozen(tokens, first)
    table = {first: lambda x: edits.replace(x, learned)}
    with compute.autocast():
        kept = held(lambda: clip.text.run(tokens, table, leading=1), clip.model)
    rows = tokens.layout(tokens.embedded.shape[1], 0, N).rows
    blocks_left = clip.text.n_blocks + 1 - first
    estimate = memory.kept_bytes(rows, clip.text.width, blocks_left, F32, compute.dtype)
    assert 0.8 * kept < estimate < 1.25 * kept


@pytest.mark.parametrize(("asked", "used"), [(None, 3), (2, 2), (5, 3)])
def test_a_training_goes_on_in_its_chunks_or_in_smaller_ones(
    clip: Towers, monkeypatch: pytest.MonkeyPatch, asked: int | None, used: int
) -> None:
    monkeypatch.setattr(memory, "total", lambda _: pytest.fail("nothing is to be decided"))
    monkeypatch.setattr(clip.text, "class_chunk", asked)
    clip.go_on_in(3)
    learned = torch.full((N, 4, 64), 0.1, requires_grad=True)
    clip.text.features(clip.text.tokens(TEXTS), shared_tokens(learned))
    assert clip.chunk_in_use == used
    clip.forget()
    assert clip.chunk_in_use == asked
