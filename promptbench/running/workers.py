"""`--jobs N`: processes that work through the same cells, each as a run of its own would.

They share the cells by their locks, so that the parent has little to say: it starts them (on
several GPUs one after the other), shows what they report, and looks after those that die. A cell on
which two processes died is left alone.
"""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import re
import signal
import threading
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TextIO

import torch

from promptbench.compat import MISMATCH
from promptbench.errors import UserError
from promptbench.planning.plan import Cell, Plan
from promptbench.planning.request import Request
from promptbench.registry import METHODS
from promptbench.running import alone, failures
from promptbench.running.compute import Compute
from promptbench.running.lab import provide_data
from promptbench.tracking import Listener
from promptbench.tracking.remote import Receiver, Remote

_SPAWN = multiprocessing.get_context("spawn")  # torch's threads do not outlive a fork
_PATIENCE = 3.0  # seconds that a process has to end before it is killed
_DEATHS = 2  # on one cell, before it is left alone; of processes between cells


@dataclass
class _Worker:
    slot: int  # counted from 0: which GPU it takes
    process: BaseProcess
    reports: Connection
    receiver: Receiver


@dataclass
class _Crew:
    """The worker processes of a run."""

    plans: Sequence[Plan]
    request: Request
    resolved: Compute
    listener: Listener
    workers: list[_Worker] = field(default_factory=list)

    def start(self, slot: int) -> None:
        """Start a process; one that replaces another takes its slot."""
        reports, theirs = _SPAWN.Pipe(duplex=False)
        alone = copy.copy(self.request)
        alone.jobs, alone.retry_failed = 1, False
        compute = replace(self.resolved, device=_device(self.resolved, slot))
        job = pickle.dumps((self.plans, alone, compute, self.listener.wants_norms))
        files = [str(path) for path in self.request.plugin]
        process = _SPAWN.Process(target=_work, args=(files, job, theirs), daemon=True)
        process.start()
        theirs.close()
        cells = {cell.id: cell for made in self.plans for cell in made.cells}
        self.workers.append(_Worker(slot, process, reports, Receiver(self.listener, cells)))

    def stop(self) -> None:
        """End all processes; what they have written is whole or not there."""
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join(_PATIENCE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.receiver.close()
            worker.reports.close()


def compute(
    plans: Sequence[Plan],
    cells: Sequence[Cell],
    request: Request,
    resolved: Compute,
    listener: Listener,
) -> None:
    """Compute cells in `request.jobs` processes.

    Raises:
        UserError: what keeps all cells from being computed, such as a full disk.
    """
    provide_data(plans, request, listener)  # once, before everybody asks for it
    crew = _Crew(plans, request, resolved, listener)
    deaths: Counter[str] = Counter()
    try:
        for slot in range(min(request.jobs, len(cells))):
            crew.start(slot)
        while crew.workers:
            ready = wait([worker.reports for worker in crew.workers])
            for worker in [w for w in crew.workers if w.reports in ready]:
                if not _received(worker):
                    _bury(worker, crew, deaths)
    finally:
        crew.stop()


def _received(worker: _Worker) -> bool:
    """Pass a report on; False when there will be no more."""
    try:
        report = worker.reports.recv()
    except (EOFError, OSError, pickle.UnpicklingError):  # it ended, perhaps in mid-sentence
        return False
    if isinstance(report, UserError):
        raise report
    worker.receiver.take(*report)
    return True


def _bury(worker: _Worker, crew: _Crew, deaths: Counter[str]) -> None:
    """A process has ended: well, or before its time, perhaps with a cell in its hands."""
    worker.process.join()
    crew.workers.remove(worker)
    worker.receiver.close()
    worker.reports.close()
    code, cell = worker.process.exitcode, worker.receiver.cell
    if code == 0:
        return
    if cell is None and code is not None and code < 0 and deaths[""] < _DEATHS:
        deaths[""] += 1
        crew.start(worker.slot)
        return
    if cell is None:
        raise UserError(
            f"a worker process cannot work ({_ending(code)}); what it printed stands above. A "
            "script that passes jobs=N needs `if __name__ == '__main__':` around the call"
        )
    deaths[cell.id] += 1
    reason = f"its process ended ({_ending(code)})"
    if deaths[cell.id] < _DEATHS:
        crew.listener.message(f"{cell.label}: {reason}; another process goes on with it")
    else:
        failures.write(cell, Path(crew.request.out), f"{reason}, {_DEATHS} times")
        log = failures.log_of(cell, Path(crew.request.out))
        crew.listener.cell_failed(cell, reason, log)
    crew.start(worker.slot)


def _ending(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}, perhaps for want of memory" if name == "SIGKILL" else name


def _device(resolved: Compute, slot: int) -> torch.device:
    """GPUs are taken in turn by the slots of workers, unless the user named one."""
    device = resolved.device
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", slot % torch.cuda.device_count())


# --- the other side ---------------------------------------------------------------------------


def _work(files: Sequence[str], job: bytes, reports: Connection) -> None:
    """What a worker process does: the same run, with its progress reported to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    remote = Remote(reports)
    _warn_through(remote)
    for path in files:
        METHODS.load(METHODS.add_file(Path(path)))  # before their classes are unpickled
    plans, request, resolved, remote.wants_norms = pickle.loads(job)
    pending = [cell for made in plans for cell in made.pending()]
    cells = failures.not_failed(pending, Path(request.out))
    try:
        alone.compute(plans, cells, request, resolved, remote)
    except UserError as error:
        with suppress(ConnectionError):  # the parent is gone
            reports.send(error)


def _warn_through(remote: Remote) -> None:
    """Let the parent show warnings, as it shows its own; what it has said is not repeated."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        remote.message(f"note: {message}")

    warnings.filterwarnings("ignore", message=re.escape(MISMATCH))
    warnings.showwarning = show


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
