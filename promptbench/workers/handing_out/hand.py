"""A process that computes the cells it is given, one after the other: a hand of an engine.

    python -m promptbench.workers.handing_out.hand OPTIONS   # as JSON: plan, reports, norms, sends

Its standard input names cells, a JSON list of ids a line; what happens goes to the file descriptor
`reports`, as a JSON list of an event and its facts a line. When its input ends it saves what it is
at, and ends.
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import shutil
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from promptbench.errors import UserError
from promptbench.models.gpu_errors import GpuLost
from promptbench.planning.cells import Cell
from promptbench.planning.machine import Machine
from promptbench.planning.plan import Plan
from promptbench.records import Record
from promptbench.running.here import work_through
from promptbench.running.lab import Lab, arithmetic, open_lab, sharing_a_lab
from promptbench.running.lab.compute import Compute
from promptbench.running.retry import run_cell_somehow
from promptbench.support import stopping
from promptbench.support.seeding import seeded
from promptbench.support.stopping import Stopped
from promptbench.support.surroundings import only_show_warnings, tell_warnings
from promptbench.tracking import Epoch, Listeners, choosing
from promptbench.tracking.remote import Remote
from promptbench.workers.handing_out import parcels, unpacking
from promptbench.workers.plan import orders
from promptbench.workers.working import work

GRACE = 25.0  # seconds to save in; engines kill after 30
READY, REFUSED, IDLE, SAVED, LOST, STOPPED = (
    *("ready", "refused", "idle", "saved", "lost", "stopped"),
)
_ORPHANED = threading.Event()  # who started this process is gone, and cannot tidy up


class Lines:
    """Reports as lines of JSON."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def send(self, report: tuple[str, Sequence[Any]], /) -> None:
        event, facts = report
        self._file.write(json.dumps([event, facts], default=_plain) + "\n")
        self._file.flush()


def _plain(value: Any) -> Any:
    if isinstance(value, Epoch):
        return {**dataclasses.asdict(value)}
    if isinstance(value, Record):
        return None  # its file is read where it is wanted
    return str(value)


def epoch_of(plain: Mapping[str, Any]) -> Epoch:
    """An epoch as it was reported."""
    return Epoch(**plain)


class _Told(Remote):
    """Reports what happens; the end of a cell with the files that others are to have."""

    def __init__(self, lines: Lines, norms: bool, sends: bool) -> None:
        super().__init__(lines, norms)
        self.sends, self.out = sends, Path()
        self._sent: set[str] = set()

    def tell(self, event: str, *facts: Any) -> None:
        """Report something that does not belong to a listener."""
        self._send(event, *facts)

    def cell_ended(self, cell: Cell, record: Record) -> None:
        self._send("cell_ended", cell.id, self._files(cell))

    def cell_failed(self, cell: Cell, reason: str, log: Path) -> None:
        self._send("cell_failed", cell.id, reason, self._files(cell))

    def _files(self, cell: Cell) -> parcels.Sums:
        if not self.sends:
            return {}
        paths = parcels.files_of_cell(cell, self.out)
        chosen = cell.outcome_folder(Path()).as_posix()
        if chosen not in self._sent:
            paths = [*parcels.files_of_training(cell, self.out), *paths]
            self._sent.add(chosen)
        return parcels.sums_of(paths, self.out)


class _Bench:
    """Keeps the lab from one call to the next; a backbone takes seconds to load."""

    def __init__(
        self, plans: Sequence[Plan], machine: Machine, compute: Compute, listener: Listeners
    ) -> None:
        self._groups, self._machine, self._compute = sharing_a_lab(plans), machine, compute
        self._listener = listener
        self._lab: tuple[int, Lab] | None = None

    def compute(self, cells: Sequence[Cell]) -> None:
        """Compute cells, or wait for who computes them."""
        for number, together in enumerate(self._groups):
            own = {cell.id for made in together for cell in made.cells}
            if mine := [cell for cell in cells if cell.id in own]:
                if self._lab is None or self._lab[0] != number:
                    self._lab = None  # before the next one takes its memory
                    lab = open_lab(together, self._machine, self._compute, self._listener)
                    self._lab = number, lab
                work_through(mine, self._lab[1], run_cell_somehow)


def main(given: Mapping[str, Any]) -> int:
    """Work until the input ends; the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to answer
    only_show_warnings()
    plan = Path(given["plan"])
    commands: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
    with os.fdopen(int(given["reports"]), "w", encoding="utf-8") as file:
        told = _Told(Lines(file), bool(given["norms"]), bool(given["sends"]))
        tell_warnings(told.message)
        try:
            with stopping.answering(second=stopping.ignore):
                threading.Thread(target=_listen, args=(commands,), daemon=True).start()
                unpacking.with_cards_of(plan.parent)
                _work(orders.read(plan), told, commands)
        except Stopped as stop:
            told.tell(STOPPED, list(stop.saved))
            return 0
        except GpuLost as lost:
            told.tell(LOST, lost.reason)
            file.flush()
            os._exit(0)  # in order, it would ask the GPU to tidy up
        except UserError as error:
            told.tell(REFUSED, str(error))
        finally:
            if _ORPHANED.is_set():
                shutil.rmtree(plan.parent, ignore_errors=True)
    return 0


def _listen(commands: queue.SimpleQueue[list[str]]) -> None:
    """Read commands without Python's own file of the input: its lock would be forked with it."""
    waiting = b""
    while data := os.read(0, 2**16):
        *lines, waiting = (waiting + data).split(b"\n")
        for line in lines:
            commands.put(json.loads(line))
    _ORPHANED.set()
    os.kill(os.getpid(), signal.SIGTERM)  # nobody is there to compute for
    time.sleep(GRACE)
    os._exit(1)


def _work(order: orders.Order, told: _Told, commands: queue.SimpleQueue[list[str]]) -> None:
    found, compute = work.prepared(order)
    plans, machine, sends = found.computable(), order.machine, told.sends
    told.out = machine.out
    cells = {cell.id: cell for made in plans for cell in made.cells}
    told.tell(READY, [cell.id for cell in found.without()], list(found.remarks))
    trackers = choosing.of_process(() if sends else machine.trackers, machine.out, machine.quiet)
    started: dict[str, Cell] = {}  # their trainings
    try:
        for made in plans:
            trackers.planned(made)
        with arithmetic.restored(), seeded(0, "run"):
            bench = _Bench(plans, machine, compute, Listeners([told, trackers]))
            while True:
                told.tell(IDLE)
                mine = [cells[name] for name in commands.get()]
                started.update({cell.training_id: cell for cell in mine})
                bench.compute(mine)
    except Stopped:
        if sends:
            _tell_unfinished(started, machine.out, told)
        raise
    finally:
        trackers.close()


def _tell_unfinished(started: Mapping[str, Cell], out: Path, told: _Told) -> None:
    """Report the snapshots of trainings that have not ended, for others to go on from."""
    for cell in started.values():
        if not cell.is_done(out) and (paths := parcels.files_of_training(cell, out)):
            told.tell(SAVED, cell.id, parcels.sums_of(paths, out))


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
