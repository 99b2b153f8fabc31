"""Steps in float16: gradients that overflow are left out, and leave no trace."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from torch.overrides import TorchFunctionMode

from promptbench.contract import TRAIN, tiny_towers
from promptbench.core.recipe import Recipe
from promptbench.errors import UserError
from promptbench.methods.coop import CoOp
from promptbench.running.lab.calling import learning, losses_of
from promptbench.running.lab.compute import Compute
from promptbench.running.training import train
from promptbench.running.training.snapshot import Progress
from promptbench.running.training.step import Stepper, finite

CPU = torch.device("cpu")
Kind = Literal["sgd", "adamw"]


def stepped(kind: Kind, precision: Literal["fp32", "fp16"], overflows: set[int]) -> torch.Tensor:
    """Parameters after twenty steps of a plain quadratic, some of whose gradients overflow."""
    torch.manual_seed(0)
    method = CoOp(tiny_towers(), TRAIN)
    stepper = Stepper(method, Recipe(optimizer=kind, lr=0.01), Compute(CPU, precision))
    for number in range(20):
        factor = float("inf") if number in overflows else 1.0
        total = (method.ctx.square() * factor).sum()
        assert stepper.step(total) is (number not in overflows)
        assert not stepper.is_stuck
    return method.ctx.detach()


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
@pytest.mark.parametrize("overflows", [set(), {0}, {0, 1, 2}, {0, 7}])
def test_steps_that_overflow_are_as_if_they_were_not(kind: Kind, overflows: set[int]) -> None:
    found = stepped(kind, "fp16", overflows)
    torch.manual_seed(0)
    method = CoOp(tiny_towers(), TRAIN)
    plain = Recipe(optimizer=kind, lr=0.01).build_optimizer(method, fused=False)
    for _ in range(20 - len(overflows)):
        plain.zero_grad()
        method.ctx.square().sum().backward()
        plain.step()
    assert found.isfinite().all()
    assert torch.allclose(found, method.ctx, rtol=1e-6, atol=0)


def test_a_gradient_that_overflows_at_every_scale_is_found_out() -> None:
    method = CoOp(tiny_towers(), TRAIN)
    before = method.ctx.detach().clone()
    stepper = Stepper(method, Recipe(), Compute(CPU, "fp16"))
    for _ in range(30):
        assert not stepper.step((method.ctx * float("inf")).sum())
    assert stepper.is_stuck and torch.equal(method.ctx, before)


@pytest.mark.parametrize(("skipped", "refused"), [(0, False), (7, False), (8, True)])
def test_a_training_that_took_no_step_has_diverged(skipped: int, refused: bool) -> None:
    heard: list[str] = []
    fit: Any = object.__new__(train._Fit)
    fit._progress = Progress(epoch=2, skipped=skipped)
    fit._snapshots = SimpleNamespace(last="the last checkpoint")
    fit._tell = heard.append
    if refused:
        with pytest.raises(UserError, match=r"gradient is not finite in float16 in every step"):
            fit._answer_for_skipped(8)
    else:
        fit._answer_for_skipped(8)
        told = f"{skipped} of 8 steps were left out"
        assert [text.startswith(told) for text in heard] == [True] * (skipped > 0)


def test_other_precisions_have_fused_steps_and_no_scaler() -> None:
    method = CoOp(tiny_towers(), TRAIN)
    fused = {p: Stepper(method, Recipe(), Compute(CPU, p)) for p in ("fp32", "bf16", "fp16")}
    assert {p: s.optimizer.param_groups[0]["fused"] for p, s in fused.items()} == {
        "fp32": True,
        "bf16": True,
        "fp16": False,
    }
    assert {p: s.scaler.is_enabled() for p, s in fused.items()} == {
        "fp32": False,
        "bf16": False,
        "fp16": True,
    }


class Reads(TorchFunctionMode):
    """Counts what reads tensors on the host: a GPU is waited for at each."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = getattr(func, "__name__", "")
        if name in ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__"):
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("fp32", {"tolist": 1}),  # the losses, when all of the step is underway
        ("fp16", {"tolist": 1, "item": 2}),  # and whether the gradient overflows, and the scale
    ],
)
def test_what_a_step_reads_is_what_it_has_to(
    precision: Literal["fp32", "fp16"], expected: dict[str, int]
) -> None:
    method, compute = CoOp(tiny_towers(), TRAIN), Compute(CPU, precision)
    stepper = Stepper(method, Recipe(), compute)
    images, labels = torch.randn(2, 3, 16, 16), torch.tensor([0, 1])
    for _ in range(2):
        with Reads() as reads:
            terms, total = learning(compute, losses_of, method, TRAIN, images.clone(), labels)
            stepper.step(total)
            assert not stepper.is_stuck
            finite({**terms, "total": total}, "here", "nothing")
    assert reads.seen == expected
