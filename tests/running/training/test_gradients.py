"""Gradients that a method makes itself: their scale, their parts, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from promptbench.contract import TRAIN, Bench, tiny_towers
from promptbench.contract.checks import gradients_that_it_makes_know_no_scale
from promptbench.contract.verdicts import Broken
from promptbench.core.method import GradientOf
from promptbench.core.recipe import Recipe
from promptbench.errors import UserError
from promptbench.methods.coop import CoOp
from promptbench.methods.prograd import ProGrad
from promptbench.running.lab.calling import losses_of
from promptbench.running.lab.compute import Compute
from promptbench.running.training.gradients import backward
from promptbench.running.training.step import Stepper

CPU = torch.device("cpu")
IMAGES, LABELS = torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 2, 3])
Made = Callable[[Any, Mapping[str, Tensor], GradientOf], Any]


def surgeon(made: Made) -> CoOp:
    """A CoOp with this `gradients`."""
    torch.manual_seed(0)
    method = type("Own", (CoOp,), {"gradients": made})(tiny_towers(), TRAIN)
    assert isinstance(method, CoOp)
    return method


def gradient(method: CoOp, scale: float | None = None) -> Tensor:
    """What the optimiser is given, unscaled."""
    method.zero_grad()
    scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale is not None)
    terms, total = losses_of(method, TRAIN, IMAGES, LABELS)
    backward(method, terms, total, scaler)
    assert method.ctx.grad is not None
    return method.ctx.grad / (scale or 1.0)


def test_it_sees_gradients_as_they_are_at_any_scale() -> None:
    seen: list[Tensor] = []

    def squared(self: Any, terms: Mapping[str, Tensor], gradient_of: GradientOf) -> Any:
        seen.append(gradient_of(terms["ce"])["ctx"])
        return {"ctx": seen[-1].square()}  # nothing that a scale would pass through

    method = surgeon(squared)
    plain, scaled = gradient(method), gradient(method, scale=2.0**12)
    assert torch.equal(seen[0], seen[1]) and torch.equal(plain, scaled)
    assert torch.equal(plain, seen[0].square()) and not seen[0].requires_grad


def test_a_gradient_of_the_total_is_that_of_a_plain_step() -> None:
    """Also of texts that run in pieces, which are computed again for each loss."""

    def total(self: Any, terms: Mapping[str, Tensor], gradient_of: GradientOf) -> Any:
        first = gradient_of(terms["ce"])
        again = gradient_of(self.total(terms))
        assert all(torch.equal(first[name], again[name]) for name in first)
        return again

    torch.manual_seed(0)
    plain = CoOp(tiny_towers(), TRAIN)
    expected = gradient(plain)
    own = surgeon(total)
    assert torch.equal(gradient(own), expected)
    own.towers.text.class_chunk = 1
    assert torch.allclose(gradient(own), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("part", ["ce", "distill"])
def test_a_part_that_overflows_leaves_the_step_out(part: str) -> None:
    """Even one that would not show in what is made of it."""
    method = ProGrad(tiny_towers(), TRAIN, ctx_init=False)
    stepper = Stepper(method, Recipe(), Compute(CPU, "fp16"))
    before = method.ctx.detach().clone()
    terms, total = losses_of(method, TRAIN, IMAGES, LABELS)
    spoiled = {**terms, part: terms[part] * float("inf")}
    assert not stepper.step(total, spoiled)
    assert torch.equal(method.ctx, before)
    terms, total = losses_of(method, TRAIN, IMAGES, LABELS)
    assert stepper.step(total, terms) and not torch.equal(method.ctx, before)


def test_what_a_loss_does_not_reach_is_left_out_and_stays() -> None:
    torch.manual_seed(0)

    def partly(self: Any, terms: Mapping[str, Tensor], gradient_of: GradientOf) -> Any:
        assert gradient_of(terms["ce"]).keys() == {"ctx"}
        return gradient_of(self.apart.square().sum())

    method = surgeon(partly)
    method.apart = torch.nn.Parameter(torch.ones(2))
    stepper = Stepper(method, Recipe(weight_decay=0.5, lr=0.1), Compute(CPU, "fp32"))
    terms, total = losses_of(method, TRAIN, IMAGES, LABELS)
    before = method.ctx.detach().clone()
    stepper.step(total, terms)
    assert torch.equal(method.ctx, before) and bool((method.apart < 1).all())


def calls_backward(self: Any, terms: Mapping[str, Tensor], gradient_of: GradientOf) -> Any:
    made = gradient_of(terms["ce"])
    terms["ce"].backward()
    return made


def takes_the_step(self: Any, terms: Mapping[str, Tensor], gradient_of: GradientOf) -> Any:
    made = gradient_of(terms["ce"])
    with torch.no_grad():
        self.ctx -= 0.1 * made["ctx"]
    return made


def puts_another_there(self: Any, terms: Mapping[str, Tensor], gradient_of: GradientOf) -> Any:
    """With equal numbers: the optimiser would go on with the old one, which nothing reads."""
    made = gradient_of(terms["ce"])
    self.ctx = torch.nn.Parameter(self.ctx.detach().clone())
    return made


def freezes(self: Any, terms: Mapping[str, Tensor], gradient_of: GradientOf) -> Any:
    made = gradient_of(terms["ce"])
    self.ctx.requires_grad_(False)
    return made


BROKEN: dict[str, tuple[Made, str]] = {
    "backward": (calls_backward, "calls backward itself"),
    "step": (takes_the_step, "changes 'ctx'; it makes the gradient of a step"),
    "another": (puts_another_there, "changes 'ctx'; it makes the gradient of a step"),
    "frozen": (freezes, "changes 'ctx'; it makes the gradient of a step"),
    "nothing": (lambda *_: {}, "returns nothing to follow"),
    "none": (lambda *_: None, "returns NoneType, not a mapping"),
    "stranger": (lambda *_: {"bias": torch.ones(1)}, "one of 'bias'; what it learns is ctx"),
    "shape": (lambda *_: {"ctx": torch.ones(1)}, r"returns \[1\], torch.float32 for 'ctx', not"),
    "constant": (lambda s, t, of: of(torch.ones(())), "takes a loss: a scalar with a graph"),
    "vector": (lambda s, t, of: of(t["ce"].expand(2)), "takes a loss: a scalar with a graph"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_gradient_is_refused_with_a_sentence(name: str) -> None:
    made, said = BROKEN[name]
    with pytest.raises(UserError, match=said):
        gradient(surgeon(made))


def test_the_contract_knows_the_door() -> None:
    def moving(self: Any, terms: Mapping[str, Tensor], gradient_of: GradientOf) -> Any:
        with torch.no_grad():
            self.ctx += 1
        return gradient_of(terms["ce"])

    for made, said in (
        (calls_backward, "calls backward itself"),
        (moving, "changes 'ctx'; it makes the gradient"),
        (lambda s, t, of: {"ctx": of(t["ce"])["ctx"] / 0}, "not finite"),
    ):
        own = type("Own", (CoOp,), {"gradients": made})
        with pytest.raises((Broken, UserError), match=said):
            gradients_that_it_makes_know_no_scale(Bench.of(own))


def test_float16_and_float32_take_the_same_steps() -> None:
    found = {}
    for precision in ("fp32", "fp16"):
        torch.manual_seed(0)
        method = ProGrad(tiny_towers(), TRAIN, ctx_init=False)
        compute = Compute(CPU, precision)  # type: ignore[arg-type]
        stepper = Stepper(method, Recipe(lr=0.1, weight_decay=0.0), compute)
        for _ in range(3):
            terms, total = losses_of(method, TRAIN, IMAGES, LABELS)  # in float32 here
            stepper.step(total, terms)
        found[precision] = method.ctx.detach()
    assert torch.allclose(found["fp32"], found["fp16"], rtol=1e-4, atol=1e-6)
    assert F.cosine_similarity(found["fp32"].flatten(), found["fp16"].flatten(), dim=0) > 0.9999
