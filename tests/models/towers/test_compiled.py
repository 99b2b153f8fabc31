"""torch.compile: its limits, its memory, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from promptbench.models.towers import Towers, tokens, tower
from promptbench.models.towers import compiled as compiled_module
from promptbench.models.towers.compiled import Compiled
from promptbench.models.towers.layout import Layout
from tests.golden_set import towers
from tests.models.towers.test_tower_speed import shared_tokens


@pytest.fixture
def clip() -> Towers:
    """Towers of their own: what is patched into them must not stay in those of other tests."""
    return towers.__wrapped__("tiny64")


def test_failed_compilation_falls_back_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(function: object, **options: object) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            raise RuntimeError("no compiler here\nand more")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    told: list[str] = []
    compiled = Compiled(lambda x: (x, x + 1), told.append, {})
    one = torch.ones(1)
    for _ in range(2):
        assert torch.equal(compiled(one)[1], one + 1)
    assert told == ["torch.compile failed, going on without it: no compiler here"]


def test_what_takes_too_many_variants_is_not_compiled_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled_module, "VARIANTS", 12)
    told: list[str] = []

    def summed(parts: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        total = torch.stack(parts).sum(0)  # each number of parts is a variant
        return total, total

    step = Compiled(summed, told.append, {"backend": "eager"})
    before = torch._dynamo.config.recompile_limit
    for count in range(1, 16):
        assert step((torch.ones(2),) * count)[0].tolist() == [count] * 2
        assert bool(told) is step.has_given_up is (count > 12)  # torch gives up at eight
    assert told == [
        "torch.compile failed, going on without it: a function takes more than 12 variants"
    ]
    assert torch._dynamo.config.recompile_limit == before
    assert not torch._dynamo.config.fail_on_recompile_limit_hit


def test_a_full_memory_is_not_a_failure_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`")

    monkeypatch.setattr(torch, "compile", lambda function, **_: full)
    step = Compiled(full, pytest.fail, {})
    with pytest.raises(RuntimeError, match="ALLOC_FAILED"):
        step(torch.ones(1))
    assert not step.has_given_up


def test_compiled_passes_have_few_groups(clip: Towers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tokens._GROUP_WORK, "cpu", 0.0)  # a group for each length
    seen: list[int] = []

    def run(block: Any, x: Tensor, layout: Layout, delta: Any) -> tuple[Tensor, Tensor]:
        seen.append(len(layout.groups))
        return x, x

    monkeypatch.setattr(tower.blocks, "run", run)
    monkeypatch.setattr(clip.text, "_run", run)
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    learned = shared_tokens(torch.ones(7, 4, 64))
    texts = [" ".join(["cat"] * count) for count in range(1, 8)]
    clip.text.run(clip.text.tokens(texts), learned)
    assert set(seen) == {7}
    seen.clear()
    released: list[int] = []
    monkeypatch.setattr(compiled_module, "release", lambda: released.append(1))
    clip.compile(pytest.fail)
    clip.text.run(clip.text.tokens(texts), learned)
    assert 1 < min(seen) <= 4
    clip.forget()
    assert clip.is_compiled and not released
    clip.text._run._compiled = None  # type: ignore[attr-defined]  # it has given up
    clip.forget()
    assert not clip.is_compiled and released == [1]
