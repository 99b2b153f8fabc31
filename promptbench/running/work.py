"""What a run has to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from promptbench.lab.compute import Compute
from promptbench.planning.plan import Cell, Plan
from promptbench.planning.request import Request
from promptbench.tracking import Listener


@dataclass(frozen=True)
class Work:
    """The cells of plans that are still to be computed, how, on what, and who is told of it.

    `request` is the one whose side of the machine holds for all plans.
    """

    plans: Sequence[Plan]
    cells: Sequence[Cell]
    request: Request
    compute: Compute
    listener: Listener
