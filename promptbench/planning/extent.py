"""How much a cell has to do: steps and images, as its cards count them.

Who asks for many cells passes a `card_of` that looks up each card once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from promptbench.core.course import Course
from promptbench.core.recipe import Recipe
from promptbench.core.traits import passes_of, sees_images
from promptbench.data import validation
from promptbench.data.cards import cards
from promptbench.data.cards.cards import DataCard
from promptbench.planning.cells import Cell

CardOf = Callable[[str], DataCard]


def source_labels(cell: Cell, card_of: CardOf = cards.load) -> Sequence[int]:
    """The labels that a cell learns."""
    source = cell.leg.source
    return source.labels_in(len(card_of(source.dataset).classes))


def training_images(cell: Cell, card_of: CardOf = cards.load) -> int:
    """The few shots of all classes together."""
    return cell.leg.source.shots * len(source_labels(cell, card_of))


def shown_images(cell: Cell, card_of: CardOf = cards.load) -> int:
    """The training images that a method starts from or solves, as often as it is shown them."""
    if not sees_images(cell.method.cls):
        return 0
    return training_images(cell, card_of) * max(passes_of(cell.method.cls, cell.parameters), 1)


def validated_images(cell: Cell, card_of: CardOf = cards.load) -> int:
    """The validation images that its training is measured on, as often as it is."""
    if not cell.is_validated:
        return 0
    images = cell.leg.source.validation_shots * len(source_labels(cell, card_of))
    return images * max(epochs(cell, card_of), 1)


def course_of(cell: Cell, card_of: CardOf = cards.load) -> Course:
    """The steps of a cell that is trained by gradient steps."""
    images = training_images(cell, card_of)
    return Course.of(Recipe(**cell.recipe), images, cell.leg.source.shots)


def steps_per_epoch(cell: Cell, card_of: CardOf = cards.load) -> int:
    """The steps of a whole epoch of a cell that is trained by gradient steps."""
    return course_of(cell, card_of).per_epoch


def epochs(cell: Cell, card_of: CardOf = cards.load) -> int:
    """All epochs of a cell's training; 0 where it has none."""
    return course_of(cell, card_of).n_epochs if cell.by_steps else 0


def steps(cell: Cell, card_of: CardOf = cards.load) -> int:
    """All steps of a cell's training; 0 where it has none."""
    return course_of(cell, card_of).steps if cell.by_steps else 0


def splits_read(cells: Iterable[Cell]) -> dict[str, set[str]]:
    """The splits of each dataset that cells read."""
    found: dict[str, set[str]] = defaultdict(set)
    for cell in cells:
        found[cell.leg.source.dataset].add("train")
        if cell.is_validated:
            found[cell.leg.source.dataset].add(validation.SPLIT)
        for target in cell.leg.targets:
            found[target.dataset].add(target.split)
    return found


def scored_images(cell: Cell, card_of: CardOf = cards.load) -> int:
    """The test images of all targets, or as many of each as the limit leaves."""
    count = 0
    for target in cell.leg.targets:
        card = card_of(target.dataset)
        share = len(target.labels_in(len(card.classes))) / len(card.classes)
        count += min(round(card.splits[target.split] * share), cell.limit or 10**9)
    return count


def passes(cells: Sequence[Cell], card_of: CardOf = cards.load) -> int:
    """Images that pass through a model for cells that share a training: a rough measure of time.

    A step of a training takes about three passes, forward and back.
    """
    first = cells[0]
    learned = 3 * epochs(first, card_of) * training_images(first, card_of)
    learned += validated_images(first, card_of)
    return learned + sum(scored_images(cell, card_of) for cell in cells)
