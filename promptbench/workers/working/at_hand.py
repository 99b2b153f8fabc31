"""Which cells of an order can be computed here: those whose datasets this machine has.

All plans are built as they were at the submission, so that ids are those of there; what a dataset
that is absent here, or is another one, determines is taken from the order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from promptbench.data.cards.places import data_root
from promptbench.data.shards import store
from promptbench.errors import UserError
from promptbench.planning import labels, plan
from promptbench.planning.cells import Cell
from promptbench.planning.plan import Plan
from promptbench.planning.settings import datasets_named
from promptbench.support.prose import counted
from promptbench.workers.plan.orders import Order


@dataclass(frozen=True)
class AtHand:
    """The plans of an order.

    Args:
        plans: whole, as they were submitted.
        absent: of each plan, the datasets that are not here.
        remarks: a sentence for each absent dataset.
    """

    plans: tuple[Plan, ...]
    absent: tuple[frozenset[str], ...]
    remarks: tuple[str, ...]

    def without(self) -> list[Cell]:
        """The cells that cannot be computed here."""
        return [
            cell
            for made, absent in zip(self.plans, self.absent, strict=True)
            for cell in made.cells
            if not absent.isdisjoint(datasets_named([cell.leg]))
        ]

    def computable(self) -> list[Plan]:
        """The plans with those cells only that can be computed here."""
        lacking = {cell.id for cell in self.without()}
        return [
            replace(
                made,
                cells=tuple(cell for cell in made.cells if cell.id not in lacking),
                legs=tuple(leg for leg in made.legs if absent.isdisjoint(datasets_named([leg]))),
            )
            for made, absent in zip(self.plans, self.absent, strict=True)
        ]


def look(order: Order) -> AtHand:
    """Build the plans of an order here.

    Raises:
        UserError: what a plan needs beside its datasets is not here.
    """
    plans, absences = [], []
    remarks: dict[str, None] = {}
    for number, request in enumerate(order.requests):
        pinned = order.data[number] if number < len(order.data) else {}
        absent = {name: why for name in pinned if (why := _problem(name, pinned, request.root))}
        known = {name: pinned[name] for name in absent}
        plans.append(plan.build(request, order.precision, order.machine.out, known))
        absences.append(frozenset(absent))
        remarks.update(dict.fromkeys(absent.values()))
    told_apart = labels.told_apart(plan.distinct(plans))
    found = AtHand(tuple(told_apart), tuple(absences), ())
    count = counted(len(found.without()), "cell")
    return replace(found, remarks=tuple(f"{why}: {count} left to others" for why in remarks))


def _problem(name: str, pinned: Mapping[str, str], root: Path | None) -> str | None:
    """Why a dataset of an order cannot be used here."""
    try:
        here = store.digests([name], root)[name]
    except UserError:
        return f"no prepared dataset {name} under {data_root(root)}"
    if here != pinned[name]:
        return f"the dataset {name} is another one than at the submission (its card or its shards)"
    return None
