"""Claims that a driver holds for workers which cannot claim for themselves."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from promptbench.planning.cells import Cell
from promptbench.running.training.folder import lease_of
from promptbench.storage import leases


def of_others(cells: Sequence[Cell], out: Path) -> bool:
    """Whether others are at these cells, or at the training that they share."""
    places = [*(leases.place(out, "cell", cell.id) for cell in cells), lease_of(cells[0], out)]
    return any(leases.is_held(place) for place in places)


def taken(cells: Sequence[Cell], out: Path) -> ExitStack | None:
    """The claims of cells and of the training that they share; None if others hold any of them."""
    with ExitStack() as stack:
        places = [*(leases.place(out, "cell", cell.id) for cell in cells), lease_of(cells[0], out)]
        if all(stack.enter_context(leases.claimed(place)) for place in places):
            return stack.pop_all()
    return None
