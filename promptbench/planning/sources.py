"""Whether the datasets that a plan learns from can be learned from, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from promptbench.core.protocol import Leg, Source
from promptbench.data import validation
from promptbench.data.cards import cards, twins
from promptbench.data.cards.cards import generated
from promptbench.data.shards import store
from promptbench.errors import UserError
from promptbench.planning.cells import Cell
from promptbench.records import TRIAL
from promptbench.support.prose import counted


def check_splits(legs: Iterable[Leg], suite: str) -> None:
    """Every source has a training split.

    Raises:
        UserError: sources without, all of them, and the datasets of the suite that have one.
    """
    named = dict.fromkeys(leg.source.dataset for leg in legs)
    without = [name for name in named if "train" not in cards.load(name).splits]
    if not without:
        return
    known = map(cards.load, cards.names())
    able = [card.name for card in known if card.suite == suite and "train" in card.splits]
    verb = "have no training split and are" if len(without) > 1 else "has no training split and is"
    raise UserError(
        f"{', '.join(without)} {verb} only for testing; of suite {suite}, these can be learned "
        f"from: {', '.join(able)}"
    )


def shared_prompts(names: Iterable[str], backbone: str) -> tuple[str, ...]:
    """Datasets with classes that are one prompt for the backbone, a sentence each."""
    loaded = map(cards.load, names)
    found = [(card, groups) for card in loaded if (groups := twins.twins(card, backbone))]
    return tuple(f"{card.name}: {twins.told(card, groups)}" for card, groups in found)


def check_shots(legs: Sequence[Leg], root: Path | None) -> None:
    """Some class of every source has as many training images as there are shots.

    Classes with fewer give all that they have, as in the field's datasets; but where every class
    has fewer, the number of shots would be a false one.

    Raises:
        UserError: a source with fewer in every class, and how many it has.
    """
    for source in dict.fromkeys(leg.source for leg in legs):
        most = _most_images(source, root)
        if most is not None and most < source.shots:
            which = "" if source.classes == "all" else f"{source.classes} "
            some = counted(most, "training image")
            raise UserError(
                f"{source.dataset} has at most {some} per {which}class, too few for "
                f"{source.shots} shots; pass --shots {most} or fewer"
            )


def check_validation(cells: Iterable[Cell], suite: str, root: Path | None) -> None:
    """Every source of cells whose selection rule looks at validation images has some.

    Raises:
        UserError: sources without, all of them, the rule, and the datasets of the suite with some.
    """
    cells = list(cells)
    searching = any(cell.preset == TRIAL for cell in cells)
    asking = {
        c.leg.source: c.selection.name for c in cells if c.learns and c.selection.cls.validates
    }
    without = {
        _called(source, held_out): rule
        for source, rule in asking.items()
        if not sum(held_out := _held_out(source, root))
    }
    if not without:
        return
    known = [card for card in map(cards.load, cards.names()) if card.suite == suite]
    able = [
        card.name
        for card in known
        if "train" in card.splits and (validation.SPLIT in card.splits or card.name in generated())
    ]
    verb = "have" if len(without) > 1 else "has"
    other = "" if searching else "--select last, or "
    raise UserError(
        f"{', '.join(without)} {verb} no validation images, "
        f"and the selection rule {next(iter(without.values()))!r} chooses by them; take {other}a "
        f"dataset that has some (of suite {suite}: {', '.join(able) or 'none'})"
    )


def _held_out(source: Source, root: Path | None) -> list[int]:
    """Validation images of each class that is learned; none where there is no validation split."""
    counts = validation.counts(cards.load(source.dataset), root)
    return [counts[label] for label in source.labels_in(len(counts))] if counts else []


def _called(source: Source, held_out: Sequence[int]) -> str:
    """A source without validation images: by its dataset, where that has none at all."""
    return source.key if held_out else source.dataset


def _most_images(source: Source, root: Path | None) -> int | None:
    """Training images of the largest class; None where there are none."""
    counts = store.training_counts(cards.load(source.dataset), root)
    return max(counts[label] for label in source.labels_in(len(counts))) or None
