"""Processes that work through the same cells, each as a run of its own would: `--jobs N`.

They share the cells by their leases, so that the parent has little to say: it starts them (on
several GPUs one after the other), shows what they report, and looks after those that die. A cell on
which two processes died, and came no further, is left alone, whoever tried (`attempts`).
`--per-gpu N` starts N for each GPU: a step at a small batch is bound by its launches, and trainings
side by side fill the gaps.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from promptbench.api import Executor, UserError, Work
from promptbench.executors._worker import take_part
from promptbench.models.gpu_errors import GpuFull, GpuLost
from promptbench.running import attempts, failures
from promptbench.running.lab import provide_data, sharing_a_lab
from promptbench.support import stopping
from promptbench.support.processes import ending
from promptbench.support.stopping import Stopped
from promptbench.tracking.remote import Receiver

_SPAWN = multiprocessing.get_context("spawn")  # torch's threads do not outlive a fork
_PATIENCE = 3.0  # seconds that a process has to end before it is killed
_GRACE = 25.0  # seconds that it has to finish its step and save; batch systems kill after 30
_VISIBLE, _VISIBLE_HIP = "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"  # numbers or names
_STOPPED = 128  # and the signal's number is the exit code of a process that answered it
_DEATHS = attempts.DEATHS  # on one cell, which is then left alone; of processes between cells
_LOSSES = 4  # of GPUs in a row, no cell finished in between: more are not the cells' fault
_LOST = "lost"  # how they are counted beside the deaths on cells


@dataclass
class _Worker:
    slot: int  # counted from 0: which GPU it sees
    process: BaseProcess
    reports: Connection
    receiver: Receiver
    lost: str | None = None  # how its GPU was lost to it
    full: GpuFull | None = None  # why it has not begun


@dataclass
class _Crew:
    """The worker processes of a run."""

    work: Work
    workers: list[_Worker] = field(default_factory=list)

    def start(self, slot: int) -> None:
        """Start a process; one that replaces another takes its slot."""
        reports, theirs = _SPAWN.Pipe(duplex=False)
        number, work = _gpu(self.work.compute.device, slot), self.work
        if number is not None:  # the only one it sees
            work = replace(work, compute=replace(work.compute, device=torch.device("cuda", 0)))
        listener = work.listener
        args = (work.packed(), listener.wants_norms, theirs)
        process = _SPAWN.Process(target=take_part, args=args, daemon=True)
        with stopping.blocked(), _seeing_one_gpu(number):
            process.start()
        theirs.close()
        cells = {cell.id: cell for made in work.plans for cell in made.cells}
        self.workers.append(_Worker(slot, process, reports, Receiver(listener, cells)))

    def stop_in_order(self, stop: Stopped) -> None:
        """Pass a request to stop on, and note what the processes say that they have saved."""
        for worker in self.workers:
            worker.process.terminate()
        left = list(self.workers)
        limit = time.monotonic() + _GRACE
        while left and (seconds := limit - time.monotonic()) > 0:
            ready = wait([worker.reports for worker in left], seconds)
            for worker in [each for each in left if each.reports in ready]:
                report = _report_of(worker)
                if isinstance(report, Stopped):
                    stop.saved += report.saved
                    stop.begun |= report.begun
                elif isinstance(report, tuple):
                    worker.receiver.take(*report)
                else:
                    left.remove(worker)

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


class Processes(Executor):
    """Computes in as many processes of this machine as there are jobs, or so many for each GPU."""

    title = "processes of this machine, on several GPUs in turn"

    def run(self, work: Work) -> None:
        for plans in sharing_a_lab(work.plans):
            provide_data(plans, work.listener)  # once, before everybody asks for it
        count = min(_how_many(work), len(work.cells))
        if work.machine.per_gpu > 1 and work.compute.device.type != "cuda":
            work.listener.message(
                f"computing on the CPU, where --per-gpu is a number of processes: {count}"
            )
        machine = replace(work.machine, jobs=count, per_gpu=1)  # all that share this machine
        crew = _Crew(replace(work, machine=machine))
        deaths: Counter[str] = Counter()
        try:
            for slot in range(count):
                crew.start(slot)
            while crew.workers:
                _hear(crew, deaths)
        except Stopped as stop:
            crew.stop_in_order(stop)
            raise
        finally:
            crew.stop()


def _how_many(work: Work) -> int:
    """The processes that are asked for: in all, or for each GPU that this process sees.

    A GPU that the user has named is one, and so is a CPU.
    """
    device, machine = work.compute.device, work.machine
    if machine.per_gpu == 1:
        return machine.jobs
    several = device.type == "cuda" and device.index is None
    return machine.per_gpu * (torch.cuda.device_count() if several else 1)


def _hear(crew: _Crew, deaths: Counter[str]) -> None:
    """Wait for reports and pass them on; replace processes that have died."""
    ready = wait([worker.reports for worker in crew.workers])
    for worker in [w for w in crew.workers if w.reports in ready]:
        before = worker.receiver.cell
        if not _received(worker):
            _bury(worker, crew, deaths)
        elif before is not None and worker.receiver.cell is None:
            deaths[_LOST] = 0  # a cell has its record, or its own error


def _received(worker: _Worker) -> bool:
    """Pass a report on; False when there will be no more."""
    report = _report_of(worker)
    if isinstance(report, GpuLost):
        worker.lost = report.reason
    elif isinstance(report, GpuFull):
        worker.full = report
    elif isinstance(report, UserError):
        raise report
    if isinstance(report, tuple):
        worker.receiver.take(*report)
    return report is not None


def _report_of(worker: _Worker) -> tuple[str, tuple[Any, ...]] | UserError | Stopped | None:
    """The next report; None when there will be no more."""
    try:
        report: tuple[str, tuple[Any, ...]] | UserError | Stopped = worker.reports.recv()
    except (EOFError, OSError, pickle.UnpicklingError):  # it ended, perhaps in mid-sentence
        return None
    return report


def _bury(worker: _Worker, crew: _Crew, deaths: Counter[str]) -> None:
    """A process has ended: well, or before its time, perhaps with a cell in its hands."""
    worker.process.join()
    crew.workers.remove(worker)
    worker.receiver.close()
    worker.reports.close()
    if worker.full is not None:
        if not crew.workers:
            raise worker.full
        crew.work.listener.message(f"one process less: {worker.full}; the others go on")
        return
    code, cell = worker.process.exitcode, worker.receiver.cell
    if code is not None and code > _STOPPED:  # it was sent a signal, and has answered
        code = _STOPPED - code
    if code == 0:
        return
    by_chance = worker.lost is not None or (code is not None and code < 0)
    if cell is None and by_chance and deaths[""] < _DEATHS:
        deaths[""] += 1
        crew.start(worker.slot)
        return
    if cell is None:
        raise UserError(
            f"a worker process cannot work ({ending(code)}); what it printed stands above. A "
            "script that computes in several processes needs `if __name__ == '__main__':` around "
            "the call, or jobs=1 (--jobs 1)"
        )
    deaths[_LOST] += worker.lost is not None
    if deaths[_LOST] > _LOSSES:
        raise UserError(
            f"{deaths[_LOST]} processes in a row have lost their GPU, the last one on "
            f"{cell.label} ({worker.lost}); the GPU or its driver wants a look, and the same "
            "command goes on from here"
        )
    listener, out = crew.work.listener, crew.work.machine.out
    place = f"{cell.id} {attempts.reached(cell, out)}"  # further on it is counted again
    deaths[place] += 1
    reason = worker.lost or f"its process ended ({ending(code)})"
    if deaths[place] < _DEATHS:
        listener.message(f"{cell.label}: {reason}; another process goes on with it")
    else:
        known = failures.reason_of(cell, out) is not None  # to a third that would not try
        failures.write(cell, out, f"{reason}, {_DEATHS} times")
        if not known:
            listener.cell_failed(cell, reason, failures.log_of(cell, out))
    crew.start(worker.slot)


def _gpu(device: torch.device, slot: int) -> int | None:
    """The number of a worker's GPU: taken in turn by the slots, unless the user named one.

    None on a CPU.
    """
    if device.type != "cuda":
        return None
    return slot % torch.cuda.device_count() if device.index is None else device.index


@contextmanager
def _seeing_one_gpu(number: int | None) -> Iterator[None]:
    """Processes started inside the block see one of this process's GPUs (None: what it sees).

    A process that sees several can take memory on all of them, whichever it computes on.
    """
    # Of AMD's GPUs the first of these has a say where it is set, and else the other one.
    name = _VISIBLE_HIP if torch.version.hip and _VISIBLE_HIP in os.environ else _VISIBLE
    before = os.environ.get(name)
    if number is not None:
        listed = before.split(",") if before else []
        os.environ[name] = listed[number].strip() if number < len(listed) else str(number)
    try:
        yield
    finally:
        if before is not None:
            os.environ[name] = before
        elif number is not None:
            os.environ.pop(name, None)
