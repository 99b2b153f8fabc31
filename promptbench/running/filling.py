"""How many processes compute where nobody has said it: as many as there are cores for.

A model of tiny tensors computes with one thread (`Suite.threads`), so that a single process leaves
the other cores idle. Processes share cells by their leases, so that no number hangs on how many
there are. What they share has to be worth their start, some seconds each.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace

from promptbench.config import suites
from promptbench.data.cards import cards
from promptbench.planning import extent
from promptbench.planning.cells import Cell
from promptbench.planning.machine import Machine
from promptbench.planning.plan import Plan
from promptbench.running.lab.compute import Compute
from promptbench.running.training.folder import is_trained
from promptbench.storage import leases
from promptbench.support import allotted
from promptbench.support.progress import Reporter
from promptbench.support.prose import counted

_STEPS = 200  # of a process: some ten seconds with a tiny model, where its start takes three
_BYTES = 2**30  # of a process: twice what one with the demo's model takes


def filled(
    machine: Machine,
    plans: Sequence[Plan],
    cells: Sequence[Cell],
    compute: Compute,
    listener: Reporter,
) -> Machine:
    """The machine with as many jobs as its cores have room for, if it is to be filled; the listener
    hears of it. `cells` are those of the plans that are still to be computed.

    It is not where another run is at work on one of them, which may be one of many that somebody
    has started to fill the cores.
    """
    if not machine.fill_cores or compute.device.type != "cpu" or sys.platform != "linux":
        return machine
    threads = _threads(plans)
    if threads is None or any(_is_taken(cell, machine) for cell in cells):
        return machine
    cores = allotted.cores()
    jobs = min(cores // threads, allotted.memory() // _BYTES, *_rooms(cells, machine))
    if jobs < 2:
        return machine
    listener.message(
        f"computing in {jobs} processes, for {counted(cores, 'core')}; the numbers are those of "
        "one, which --jobs 1 asks for"
    )
    return replace(machine, jobs=jobs)


def _is_taken(cell: Cell, machine: Machine) -> bool:
    return leases.is_held(leases.place(machine.out, "cell", cell.id))


def _threads(plans: Iterable[Plan]) -> int | None:
    """The most CPU threads of a model of these plans; None where one takes all cores."""
    homes = [suites.of_backbone(made.suite.backbone) for made in plans]
    threads = [home.threads if home is not None else None for home in homes]
    known = [count for count in threads if count is not None]
    return max(known) if len(known) == len(threads) and known else None


def _rooms(cells: Iterable[Cell], machine: Machine) -> tuple[int, int]:
    """How many processes trainings that are still to be done suffice for: by their number, since
    one is never shared, and by their steps."""
    left = {cell.training_id: cell for cell in cells if not is_trained(cell, machine.out)}
    card_of = functools.cache(cards.load)
    steps = [extent.steps(cell, card_of) for cell in left.values() if cell.by_steps]
    return len(steps), sum(steps) // _STEPS
