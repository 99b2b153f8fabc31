"""What a training does step by step, once the number of its images is known: epochs, stages, rates.

The steps are the recipe's epochs of whole batches, or so many for each shot. Stages share them; a
stage may begin within an epoch, of which the batches go on as they would have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

from promptbench.core.ranges import steps_per_shot
from promptbench.core.recipe import Recipe
from promptbench.errors import UserError


@dataclass(frozen=True)
class Stage:
    """Steps `first` to `end` (without it) of a training, trained by a recipe without stages.

    `epochs`: how long it is; `number` counts from 1.
    """

    number: int
    first: int
    end: int
    recipe: Recipe
    per_epoch: int
    epochs: float

    def epoch_at(self, step: int) -> float:
        """How many of its epochs have passed at a step: whole ones, unless its schedule goes by
        steps."""
        whole, rest = divmod(step - self.first, self.per_epoch)
        return whole + rest / self.per_epoch if self.recipe.schedule == "step" else whole


@dataclass(frozen=True)
class Course:
    """All steps of a training, `per_epoch` of them in each epoch but perhaps the last."""

    per_epoch: int
    steps: int
    stages: tuple[Stage, ...]

    @classmethod
    def of(cls, recipe: Recipe, images: int, shots: int) -> Course:
        """The course of a training on so many images, `shots` of each class.

        Raises:
            UserError: fewer steps than stages.
        """
        per_epoch = max(images // recipe.batch_size, 1)
        each = steps_per_shot(recipe.epochs)
        steps = recipe.n_epochs * per_epoch if each is None else each * shots
        return cls(per_epoch, steps, _stages(recipe, steps, per_epoch))

    @property
    def n_epochs(self) -> int:
        """All epochs, the last of which may be cut off."""
        return -(-self.steps // self.per_epoch)

    def steps_in(self, epoch: int) -> int:
        """The steps of an epoch, counted from 0."""
        return min(self.per_epoch, self.steps - epoch * self.per_epoch)

    def stage_at(self, step: int) -> Stage:
        """The stage that a step, counted from 0, belongs to; beyond all of them the last."""
        return next((stage for stage in self.stages if step < stage.end), self.stages[-1])

    def lr_at(self, epoch: int) -> float:
        """The recipe's learning rate at the first step of an epoch."""
        step = epoch * self.per_epoch
        stage = self.stage_at(step)
        return stage.recipe.lr_at(stage.epoch_at(step), stage.epochs)


def _stages(recipe: Recipe, steps: int, per_epoch: int) -> tuple[Stage, ...]:
    if not recipe.stages:
        whole = recipe.epochs if isinstance(recipe.epochs, int) else steps / per_epoch
        return (Stage(1, 0, steps, recipe, per_epoch, whole),)
    count = len(recipe.stages)
    if steps < count:
        raise UserError(
            f"a training of {steps} steps is too short for {count} stages; raise Recipe.epochs"
        )
    ends = [
        math.floor(steps * share + 0.5)
        for share in accumulate(stage["share"] for stage in recipe.stages)
    ]
    found: list[Stage] = []
    for number, (settings, end) in enumerate(zip(recipe.stages, ends, strict=True), 1):
        first = found[-1].end if found else 0
        last = min(max(end, first + 1), steps - (count - number))  # at least a step for each
        own = recipe.of_stage(settings)
        length = (last - first) / per_epoch
        found.append(Stage(number, first, last, own, per_epoch, length))
    return tuple(found)
