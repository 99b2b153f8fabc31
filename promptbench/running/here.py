"""The cells of a run in this process, where other processes may work on them as well.

Whoever holds a cell's lease computes it. Cells that others hold, or whose training others train,
are passed over and looked at again later: by then they are done, or their process has died and its
leases are free. One failing cell does not stop the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from promptbench import records
from promptbench.errors import RunError, one_line
from promptbench.models.gpu_errors import GpuLost, is_lost, lost_behind
from promptbench.planning.cells import Cell
from promptbench.planning.machine import Machine
from promptbench.planning.plan import Plan
from promptbench.records import Record
from promptbench.records.predictions import FOLDER
from promptbench.running import attempts, failures
from promptbench.running.executor import Limit
from promptbench.running.lab import Lab, arithmetic, open_lab, sharing_a_lab
from promptbench.running.lab.compute import Compute
from promptbench.running.retry import run_cell_somehow, within_memory
from promptbench.running.search import Search
from promptbench.running.training.folder import is_underway
from promptbench.storage import integrity, leases
from promptbench.storage.files import sweep, told_if_unwritable
from promptbench.storage.leases import LeaseLost
from promptbench.support import stopping
from promptbench.support.seeding import seeded
from promptbench.tracking import Listener, Listeners, choosing

Run = Callable[[Cell, Lab], Record]


def compute(
    plans: Sequence[Plan],
    cells: Sequence[Cell],
    machine: Machine,
    device: Compute,
    listener: Listener,
    limit: Limit | None = None,
) -> None:
    """Compute those cells of the plans that no other process computes, one lab after the other.

    Cells that `limit` does not let this process begin are left.

    Raises:
        RunError: the output folder cannot be written any more, a server or the GPU is gone.
    """
    trackers = choosing.of_process(machine.trackers, machine.out, machine.quiet)
    begun = False
    try:
        with stopping.answering():
            for made in plans:
                trackers.planned(made)
            for together in sharing_a_lab(plans):
                own = {cell.id for made in together for cell in made.cells}
                if mine := [cell for cell in cells if cell.id in own]:
                    with arithmetic.restored(), seeded(0, "run"):  # the caller's stay as they are
                        lab = open_lab(together, machine, device, Listeners([listener, trackers]))
                        begun = True
                        work_through(mine, lab, run_cell_somehow, limit)
            leases.sweep(machine.out)
    except stopping.Stopped as stop:
        stop.begun = begun
        raise
    except RuntimeError as error:
        lost = lost_behind(error)  # leaving the blocks asks the GPU for its state
        if lost is None:
            raise
        raise lost from None
    finally:
        trackers.close()


def work_through(cells: Sequence[Cell], lab: Lab, run: Run, limit: Limit | None = None) -> None:
    """Compute all cells that no other process computes; return when none is left to anyone.

    Those that `limit` does not let this process begin are left to others.

    Raises:
        RunError: the output folder cannot be written any more, a server or the GPU is gone.
    """
    search, limit = Search(lab.out), limit or Limit()
    waiting, told = search.in_own_order(cells), False
    while waiting:
        left = [
            c for c in waiting if limit.may_begin(c) and not _settle(c, lab, run, search, limit)
        ]
        if len(left) < len(waiting):
            search.had_success()
        else:
            if not told:
                lab.listener.waiting(len(left))
            told = True
            time.sleep(search.pause())
        search.again()
        waiting = left


def _settle(cell: Cell, lab: Lab, run: Run, search: Search, limit: Limit) -> bool:
    """Compute a cell if no other process is at it; whether it has a record or a log now."""
    if search.is_underway(cell):
        return False
    if search.is_settled(cell):
        return True
    with leases.claimed(leases.place(lab.out, "cell", cell.id)) as mine:
        if mine is None or is_underway(cell, lab.out):  # begun since the search has looked
            return False
        if not cell.is_done(lab.out) and failures.reason_of(cell, lab.out) is None:
            try:
                _attempt(cell, lab, run, limit)
            except LeaseLost as lost:
                lab.listener.message(f"{cell.label}: {lost}; this one goes on with other cells")
                _renew_towers(cell, lab)
                return False
    return True


def _attempt(cell: Cell, lab: Lab, run: Run, limit: Limit) -> None:
    folder = cell.folder(lab.out)
    if (folder / records.RECORD).is_file():
        why = records.damage(folder) or "it was incomplete"
        integrity.set_aside(folder / records.RECORD, why, lab.listener)
    for place in (folder, folder / FOLDER):
        sweep(place)
    try:
        with told_if_unwritable(folder), attempts.counted(cell, lab.out, limit):
            within_memory(run, cell, lab)
    except RunError:
        raise
    except Exception as error:  # plugins may raise anything, and the other cells go on
        stopping.refuse_wrapped(error)
        if is_lost(lab.compute.device):
            why = one_line(error)
            device = lab.compute.device
            raise GpuLost(
                cell.label, f"the GPU {device} does not answer this process any more ({why})"
            ) from error
        leases.refuse_lost(lab.out)  # it may have failed of what another worker does there
        reason = failures.note(cell, lab.out, error)
        lab.listener.cell_failed(cell, reason, failures.log_of(cell, lab.out))
        _renew_towers(cell, lab)


def _renew_towers(cell: Cell, lab: Lab) -> None:
    """Leave to other cells none of the changes that one which has not ended made to the towers."""
    if lab.keeper.renew():
        lab.listener.message(f"{cell.label}: the backbone is loaded again for the other cells")
