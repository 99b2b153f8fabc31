"""What a training starts from: a cell's method under its configuration and seed, and its shots."""

from __future__ import annotations

from dataclasses import dataclass

from promptbench import config
from promptbench.data import loader
from promptbench.data.loader import FewShotSet
from promptbench.entering import enter
from promptbench.lab import Lab
from promptbench.lab.calling import built
from promptbench.method import ClassSet, Method
from promptbench.planning.plan import Cell
from promptbench.recipe import Recipe
from promptbench.seeding import seeded
from promptbench.training.origin import Code, code_of


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
    """The method of a cell, built under the cell's configuration and seed, and its few shots."""
    source = lab.data[cell.leg.source.dataset]
    shots = loader.few_shot_set(source, cell.leg.source, cell.seed)
    classes = ClassSet(shots.class_names, source.card.template)
    lab.backbone.towers.forget()
    cls = cell.method.cls
    with seeded(cell.seed, "init"):
        method: Method = enter(
            built, lab.compute, cls, lab.backbone.towers, classes, **cell.parameters
        )
    recipe = Recipe(**cell.recipe)
    operative = config.operative_text({cls.__name__: cell.parameters, "Recipe": vars(recipe)})
    return Learner(method, classes, shots, recipe, operative, code_of(cell))
