"""Every method under the arithmetic of every precision, as a run calls it."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from promptbench.contract import World, tiny_towers
from promptbench.core.method import ClassSet, Method, Solver, Starter, unit
from promptbench.core.recipe import Recipe
from promptbench.core.registry import METHODS
from promptbench.models.towers import Towers
from promptbench.running.lab.calling import built, evaluating, learning, losses_of
from promptbench.running.lab.compute import Compute, Precision
from promptbench.running.training.step import Stepper
from promptbench.support.seeding import seeded
from tests.short_form import every

PRECISIONS = get_args(Precision)
TOLD = World.standard().told(True).train  # with texts, for methods that use them
LABELS = torch.tensor([0, 1, 2, 3])


def opened(precision: Precision) -> tuple[Compute, Towers]:
    """A compute on the CPU and towers as a run of it has them."""
    compute, towers = Compute(torch.device("cpu"), precision), tiny_towers()
    if compute.dtype != torch.float32:
        towers.cast(compute.dtype)
    return compute, towers


def learned_of(method: Method) -> dict[str, nn.Parameter]:
    return {n: p for n, p in method.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(("name", "precision"), every(3, METHODS.names(), PRECISIONS))
def test_a_method_learns_and_scores_at_every_precision(name: str, precision: Precision) -> None:
    compute, towers = opened(precision)
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with seeded(0, "calling"):
        method = built(compute, METHODS.load(name).cls, towers, TOLD)
        shown = [(images, LABELS)] * max(method.passes, 1)
        if isinstance(method, Starter):
            learning(compute, method.start_from, shown)
        before = {n: p.detach().clone() for n, p in learned_of(method).items()}
        if isinstance(method, Solver):
            learning(compute, method.solve, shown)
        elif before:
            stepper = Stepper(method, Recipe(lr=0.01), compute)
            taught = images if method.views == 1 else torch.stack([images] * method.views, dim=1)
            terms, total = learning(compute, losses_of, method, TOLD, taught, LABELS)
            assert stepper.step(total, terms)
    learned = learned_of(method)
    assert learned.keys() == before.keys() and all(p.numel() for p in learned.values())
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in learned.values())
    assert not learned or any(not torch.equal(p, before[n]) for n, p in learned.items())
    prepared = evaluating(compute, method.eval().prepare, TOLD)
    logits: Tensor = evaluating(compute, method.logits, images, prepared)
    assert logits.dtype == torch.float32 and logits.isfinite().all()
    # Whole logits on the grid of the half precision would show that they were rounded once.
    rounded = logits.to(compute.dtype).float()
    assert precision == "fp32" or not torch.equal(logits, rounded)


class FromFeatures(METHODS.load("zeroshot").cls):
    """Learns class features that start from the towers' own."""

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        text = towers.text
        self.features = nn.Parameter(text.features(text.tokens(classes.prompts)).detach().clone())

    def text_features(self, classes: ClassSet) -> Tensor:
        return unit(self.features)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_learnables_that_start_from_features_are_float32(precision: Precision) -> None:
    compute, towers = opened(precision)
    method = built(compute, FromFeatures, towers, TOLD)
    assert [p.dtype for p in method.parameters()] == [torch.float32]
