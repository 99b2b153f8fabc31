"""Showing a method all training images at once, for what it learns without a gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from promptbench.core.method import Method
from promptbench.core.recipe import Recipe
from promptbench.data.loader import Batch, FewShotSet
from promptbench.isolation.entering import enter, given
from promptbench.running.lab import Lab
from promptbench.running.lab.calling import learning
from promptbench.running.training.augmenting import crops_of
from promptbench.support.seeding import seeded


def show(
    method: Method,
    function: Literal["solve", "start_from"],
    shots: FewShotSet,
    recipe: Recipe,
    lab: Lab,
    seed: int,
    label: str,
) -> None:
    """Hand all training images to a method's function, in as many passes as the method asks for.

    What the function draws comes from the seed's stream of its name.

    Args:
        recipe: whose `crop_scale` and `flip` augment the passes.
        label: what the task is called.
    """
    passes = method.passes
    with lab.listener.task(label, len(shots) * max(passes, 1), "images") as task:

        def pairs() -> Iterator[tuple[Tensor, Tensor]]:
            for _, images, labels in lab.compute.placed(_batches(passes, shots, recipe, lab, seed)):
                yield images, labels
                task.advance(len(labels))

        with seeded(seed, function):
            enter(learning, lab.compute, getattr(method, function), given(pairs()))


def _batches(
    passes: int, shots: FewShotSet, recipe: Recipe, lab: Lab, seed: int
) -> Iterator[Batch]:
    if not passes:
        yield from shots.plain(lab.backbone.preprocess, lab.workers)
        return
    augment = crops_of(recipe, lab)
    for number in range(passes):
        yield from shots.augmented(number, seed=seed, augment=augment, workers=lab.workers)
