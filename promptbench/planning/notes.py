"""What the user of a plan should hear before it is carried out: once, in whole sentences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from promptbench.core.recipe import warms_up_only
from promptbench.planning.cells import Cell
from promptbench.planning.plan import Finished, Plan
from promptbench.planning.provenance import notes_of_code


def notes_of(
    plans: Iterable[Plan], cells: Iterable[Cell], finished: Iterable[Finished]
) -> list[str]:
    """The sentences about the data of plans, about cells that are still to be computed, and about
    the code of those that are finished; none if all is as one expects."""
    cells = list(cells)
    said = dict.fromkeys(remark for made in plans for remark in made.remarks)
    return [*said, *_of_warm_up(cells), *notes_of_code(finished, cells)]


def _of_warm_up(cells: Iterable[Cell]) -> list[str]:
    shots: dict[str, dict[bool, set[int]]] = defaultdict(lambda: {True: set(), False: set()})
    for cell in cells:
        if cell.by_steps:
            shots[cell.method.name][warms_up_only(cell.recipe)].add(cell.leg.source.shots)
    named = [
        name + (f" with {_listed(those[True])}" if those[False] else "")
        for name, those in shots.items()
        if those[True]
    ]
    if not named:
        return []
    return [
        f"note: {', '.join(named)}: every epoch is one of warm-up (Recipe.warmup_epochs is not "
        "below Recipe.epochs), so that nothing is trained at Recipe.lr and variants come out all "
        "but equal; for a short trial add --set Recipe.warmup_epochs=0"
    ]


def _listed(shots: Iterable[int]) -> str:
    counts = sorted(shots)
    return f"{', '.join(map(str, counts))} {'shot' if counts == [1] else 'shots'}"
