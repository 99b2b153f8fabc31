"""What a training starts with: the method of a cell, its few shots, its recipe and the code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from promptbench import config
from promptbench.core.method import ClassSet, Method
from promptbench.core.recipe import Recipe, stated
from promptbench.data import loader
from promptbench.data.loader import FewShotSet
from promptbench.isolation.entering import enter
from promptbench.planning.cells import Cell
from promptbench.running.lab import Lab
from promptbench.running.lab.calling import built
from promptbench.running.training.snapshot import Code, code_of
from promptbench.support.seeding import seeded


@dataclass(frozen=True)
class Learner:
    """A cell's method as it starts, what it learns from, the operative gin text, and the code."""

    method: Method
    classes: ClassSet
    shots: FewShotSet
    recipe: Recipe
    operative: str
    code: Code


def learner(cell: Cell, lab: Lab) -> Learner:
    """Build the method of a cell under its configuration and seed, and sample its few shots."""
    source = lab.data[cell.leg.source.dataset]
    shots = loader.few_shot_set(source, cell.leg.source, cell.seed)
    classes = cell.told(source.card, shots.class_names)
    lab.backbone.towers.forget()
    cls = cell.method.cls
    with seeded(cell.seed, "init"):
        method: Method = enter(
            built, lab.compute, cls, lab.backbone.towers, classes, **cell.parameters
        )
    recipe = Recipe(**cell.recipe)
    return Learner(method, classes, shots, recipe, operative_of(cell, recipe), code_of(cell))


def operative_of(cell: Cell, recipe: Recipe) -> str:
    """The configuration of a cell as its record keeps and hashes it, byte by byte."""
    settings = {cell.method.cls.__name__: cell.parameters, "Recipe": in_force(cell, recipe)}
    return config.operative_text(settings)


def in_force(cell: Cell, recipe: Recipe) -> dict[str, Any]:
    """What a record says of a recipe; of a solver's, only what augments the images it is shown."""
    return stated(vars(recipe)) if cell.by_steps or not cell.recipe else dict(cell.recipe)
