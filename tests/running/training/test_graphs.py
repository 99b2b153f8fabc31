"""CUDA graphs of steps, where there is a GPU: equal bits to the steps themselves."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from promptbench.contract import TRAIN, tiny_towers
from promptbench.core.method import Method, Starter
from promptbench.core.recipe import Recipe
from promptbench.core.registry import METHODS
from promptbench.methods.coop import CoOp
from promptbench.running.lab import arithmetic
from promptbench.running.lab.calling import built, learning
from promptbench.running.lab.compute import Compute
from promptbench.running.training.descent import Descent
from promptbench.running.training.step import Stepper

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
GPU, STEPS = torch.device("cuda", 0), 40
Precision = Literal["fp32", "bf16", "fp16"]
STEADY = [name for name in METHODS.names() if METHODS.load(name).cls.steady]


class Waiting(CoOp):
    """One that waits for the GPU, and draws: recording fails, and must leave nothing behind."""

    steady = True

    def losses(self, images: Tensor, labels: Tensor, prepared: Any) -> dict[str, Tensor]:
        noise = torch.rand_like(self.ctx).mean() * 1e-3
        terms = super().losses(images, labels, prepared)
        factor = 1.0 if float(terms["ce"].detach()) > -1 else 2.0
        return {**terms, "noise": noise * factor * self.ctx.sum()}


def trained(
    cls: type[Method], precision: Precision, graphs: bool
) -> tuple[list[float], list[str], list[Tensor], bool]:
    told: list[str] = []
    with arithmetic.restored():
        arithmetic.settle(GPU, None)
        compute = Compute(GPU, precision)
        torch.manual_seed(3)
        towers = tiny_towers()
        towers.model.to(GPU)
        if precision != "fp32":
            towers.cast(compute.dtype)
        method = built(compute, cls, towers, TRAIN)
        views = (type(method).views,) if type(method).views > 1 else ()
        labels = torch.arange(4, device=GPU) % len(TRAIN)
        if isinstance(method, Starter):
            shown = [(torch.randn(4, 3, 16, 16, device=GPU), labels)] * max(method.passes, 1)
            learning(compute, method.start_from, shown)
        stepper = Stepper(method, Recipe(lr=0.002), compute)
        descent = Descent(method, TRAIN, stepper, compute, graphs, told.append)
        losses = []
        for number in range(STEPS):
            stream = torch.Generator().manual_seed(number)
            images = torch.randn(4, *views, 3, 16, 16, generator=stream).to(GPU)
            _, total = descent.losses(images, labels, STEPS - number)
            stepper.follow_gradient()
            losses.append(float(total))
        state = [value.cpu() for value in method.state_dict().values()]
    return losses, told, state, descent.replays


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("name", STEADY)
def test_every_steady_method_is_replayed_to_the_bits_of_its_steps(
    name: str, precision: Precision
) -> None:
    cls = METHODS.load(name).cls
    losses, told, state, replays = trained(cls, precision, graphs=True)
    expected, _, eager, _ = trained(cls, precision, graphs=False)
    assert not told and replays
    assert losses == expected and all(map(torch.equal, state, eager))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_recording_that_fails_leaves_nothing_behind(precision: Precision) -> None:
    losses, told, state, replays = trained(Waiting, precision, graphs=True)
    expected, _, eager, _ = trained(Waiting, precision, graphs=False)
    assert len(told) == 1 and not replays
    assert losses == expected and all(map(torch.equal, state, eager))
