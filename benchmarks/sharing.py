"""What sharing a grid costs: many workers, one folder, cells that only take time.

    python -m benchmarks.sharing                      # simulated: 4, 16, 64 and 256 workers
    python -m benchmarks.sharing --processes 4,16     # processes that sleep, minutes as 1/2000

The search for cells, the leases and the count of attempts are the real ones (`running.here`), on
files of a real folder; a cell draws its time from a lognormal distribution, and a third of the
cells share the training of the one before. Simulated workers are threads of which one runs at a
time, on a clock that jumps to the next of them: whatever sleeps costs nothing, and every operation
on the file system takes `--latency` of the clock, as a server far away would. Eight share a node.
Prints one line of JSON per number of workers:

- `speedup`: work over the time from the first start to the last end, `of_n` as a share of the
  workers, `of_ideal` of what cells take that are handed out for nothing, in the order of the plan;
- `operations`: on the file system, per cell, per second on average and in the busiest ten seconds;
- `cost`: of the work, what workers waited for these operations; `claim_ms`: of this machine's
  time, what a cell takes from the look at it to the release of its leases (median).
"""

from __future__ import annotations

import argparse
import heapq
import json
import multiprocessing
import os
import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from promptbench import records
from promptbench.planning import extent
from promptbench.running import here
from promptbench.storage import leases
from promptbench.storage.leases import heartbeat, holder
from promptbench.tracking import Listener

PER_NODE = 8
STARTS = 30.0  # seconds within which a batch system starts all workers
WINDOW = 10.0
PREDICTING = 0.15  # of a cell's time; the rest is its training
COUNTED = (
    "open",
    "link",
    "rename",
    "unlink",
    "stat",
    "listdir",
    "scandir",
    "utime",
    "mkdir",
    "replace",
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=_numbers, default=[4, 16, 64, 256])
    parser.add_argument("--processes", type=_numbers, default=[])
    parser.add_argument("--cells", type=int, default=2400)
    parser.add_argument("--median", type=float, default=180.0, help="seconds of a cell")
    parser.add_argument("--sigma", type=float, default=0.5, help="of the logarithm")
    parser.add_argument("--latency", type=float, default=1e-3, help="seconds per operation")
    parser.add_argument("--scale", type=float, default=2000.0, help="of time, for processes")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


@dataclass(frozen=True)
class Timed:
    """A cell that takes `seconds`; most of it is the training that it may share."""

    number: int
    training: int
    seconds: float
    length: float  # the same, whatever the scale
    home: Path

    @property
    def id(self) -> str:
        return f"{self.number:032d}"  # whose beginning is a lease's name

    @property
    def training_id(self) -> str:
        return f"{self.training:032d}"

    @property
    def label(self) -> str:
        return f"cell {self.number}"

    def folder(self, out: Path) -> Path:
        return self.home / "cells" / str(self.number)

    def training_folder(self, out: Path) -> Path:
        return self.home / "trainings" / str(self.training)

    def outcome_folder(self, out: Path, rule: object = None) -> Path:
        return self.training_folder(out)  # one rule looks on

    def is_done(self, out: Path) -> bool:
        return (self.folder(out) / records.RECORD).is_file()


def cells_in(out: Path, options: argparse.Namespace, scale: float = 1.0) -> list[Timed]:
    drawn = np.random.default_rng(options.seed).lognormal(
        np.log(options.median), options.sigma, options.cells
    )
    training = [number - (number % 3 == 2) for number in range(options.cells)]
    times = [
        seconds / scale * (1 if own == number else PREDICTING)
        for number, own, seconds in zip(range(options.cells), training, drawn, strict=True)
    ]
    numbered = zip(range(options.cells), training, times, strict=True)
    return [
        Timed(number, own, float(seconds), float(seconds) * scale, out)
        for number, own, seconds in numbered
    ]


def ideal(cells: Sequence[Timed], workers: int) -> float:
    """Seconds until all cells are done that are handed out in their order to whoever is free."""
    free = [0.0] * workers
    for cell in cells:
        heapq.heappush(free, heapq.heappop(free) + cell.seconds)
    return max(free)


def compute(cell: Timed, lab: Any, toil: Callable[[float], None]) -> None:
    """A cell as `running.cell` computes it, but for the work: the training, predictions, record."""
    with leases.held(leases.place(lab.out, "training", cell.training_id)):
        trained = cell.training_folder(lab.out) / "training.json"
        if not trained.is_file():
            toil(cell.seconds * (1 - PREDICTING))
            leases.refuse_lost(lab.out)
            trained.parent.mkdir(parents=True, exist_ok=True)
            trained.write_text('{"losses": []}')
    toil(cell.seconds * PREDICTING if cell.number == cell.training else cell.seconds)
    leases.refuse_lost(lab.out)
    (cell.folder(lab.out) / records.RECORD).write_text("{}")


@dataclass
class Worker:
    """A simulated worker: its turn to run, and what its operations will have taken."""

    number: int
    facts: dict[str, Any]
    turn: threading.Event = field(default_factory=threading.Event)
    debt: float = 0.0
    held: dict[str, Any] = field(default_factory=dict)


class Simulation:
    """Workers as threads of which one runs at a time, on a clock of their own."""

    def __init__(self, out: Path, options: argparse.Namespace, count: int) -> None:
        self.out, self.latency = out, options.latency
        self.cells = cells_in(out, options)
        self.now = self.last = self.waited = 0.0
        self.operations: Counter[int] = Counter()  # by window of time
        self._failed: list[BaseException] = []
        self._local = threading.local()
        stream, here_ = random.Random(options.seed), holder._this_process(os.getpid())
        self._workers = [
            Worker(number, {**here_, "worker": f"{stream.getrandbits(48):012x}", "boot": node})
            for number in range(count)
            for node in (f"node{number // PER_NODE}",)
        ]
        self._queue = sorted((stream.uniform(0, STARTS), worker.number) for worker in self._workers)

    def run(self) -> float:
        """Simulated seconds from the first start to the last record."""
        first = self._queue[0][0]
        threads = [threading.Thread(target=self._work, args=(each,)) for each in self._workers]
        with ExitStack() as stack:
            for patch in self._patches():
                stack.enter_context(patch)
            for thread in threads:
                thread.start()
            self._hand_over()
            for thread in threads:
                thread.join()
        if self._failed:
            raise self._failed[0]
        return self.last - first

    def _patches(self) -> Iterator[Any]:
        """What is a process's own is a worker's, and time is the clock of all."""
        yield mock.patch.object(holder, "_this_process", lambda _: self._mine.facts)
        yield mock.patch.object(holder.Holder, "lives", lambda found: self._lives(found))
        yield mock.patch.object(heartbeat.Heart, "add", lambda _, lease: self._add(lease))
        yield mock.patch.object(heartbeat.Heart, "drop", lambda _, lease: self._drop(lease))
        yield mock.patch.object(heartbeat.Heart, "leases", lambda _: list(self._mine.held.values()))
        yield mock.patch.object(time, "monotonic", lambda: self.now)
        yield mock.patch.object(time, "sleep", self._sleep)
        for name in COUNTED:
            yield mock.patch.object(os, name, self._counted(getattr(os, name)))

    @property
    def _mine(self) -> Worker:
        found: Worker = self._local.worker
        return found

    def _lives(self, found: Any) -> bool | None:
        return True if found.boot == self._mine.facts["boot"] else None

    def _add(self, lease: Any) -> None:
        self._mine.held[lease.claim] = lease

    def _drop(self, lease: Any) -> bool:
        return self._mine.held.pop(lease.claim, None) is not None

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **options: Any) -> Any:
            worker: Worker | None = getattr(self._local, "worker", None)
            if worker is not None:
                worker.debt += self.latency
                self.operations[int((self.now + worker.debt) / WINDOW)] += 1
            return real(*args, **options)

        return called

    def _work(self, worker: Worker) -> None:
        self._local.worker = worker
        worker.turn.wait()
        worker.turn.clear()
        try:
            work_through(self.cells, self.out, self._toil)
        except BaseException as error:  # of a thread: the main one raises it
            self._failed.append(error)
        finally:
            self._hand_over()

    def _toil(self, seconds: float) -> None:
        """Work, and touch what is held as the heart would."""
        while seconds > 0:
            step = min(seconds, heartbeat.BEAT)
            self._sleep(step)
            seconds -= step
            if step == heartbeat.BEAT:
                for lease in list(self._mine.held.values()):
                    lease.beat()
        self.last = max(self.last, self.now)

    def _sleep(self, seconds: float) -> None:
        """Let the others run until the clock has come so far."""
        worker = self._mine
        heapq.heappush(self._queue, (self.now + worker.debt + seconds, worker.number))
        self.waited += worker.debt
        worker.debt = 0.0
        self._hand_over()
        worker.turn.wait()
        worker.turn.clear()

    def _hand_over(self) -> None:
        if self._queue:
            self.now, number = heapq.heappop(self._queue)
            self._workers[number].turn.set()


def work_through(cells: Sequence[Timed], out: Path, toil: Callable[[float], None]) -> None:
    """What a worker does, with cells that only take time."""
    lab: Any = SimpleNamespace(out=out, listener=Listener())
    found: Any = cells
    with mock.patch.object(extent, "passes", guessed):
        here.work_through(found, lab, lambda cell, lab: compute(cell, lab, toil))  # type: ignore


def guessed(together: Sequence[Any], card_of: Any = None) -> int:
    """What a worker knows of how long cells take: roughly, within a factor of two or so."""
    stream = random.Random(together[0].number)
    return int(stream.lognormvariate(0, 0.5) * 1e3 * sum(cell.length for cell in together))


def simulated(options: argparse.Namespace, count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        simulation = Simulation(Path(folder), options, count)
        seconds = simulation.run()
    total = sum(simulation.operations.values())
    work = sum(cell.seconds for cell in simulation.cells)
    return facts(simulation.cells, count, seconds) | {
        "operations_per_cell": round(total / len(simulation.cells), 1),
        "operations_per_second": round(total / seconds, 1),
        "busiest": round(max(simulation.operations.values()) / WINDOW, 1),
        "cost": round(simulation.waited / work, 5),
    }


def facts(cells: Sequence[Timed], count: int, seconds: float) -> dict[str, Any]:
    work = sum(cell.seconds for cell in cells)
    return {
        "workers": count,
        "speedup": round(work / seconds, 1),
        "of_n": round(work / seconds / count, 3),
        "of_ideal": round(ideal(cells, count) / seconds, 3),
    }


def _worker(cells: Sequence[Timed], out: Path, ready: Any) -> None:
    here.within_memory = _plainly  # type: ignore[assignment]
    ready.wait()
    work_through(cells, out, time.sleep)


def _plainly(run: Callable[..., Any], cell: Any, lab: Any) -> Any:
    return run(cell, lab)


def in_processes(options: argparse.Namespace, count: int) -> dict[str, Any]:
    """The same by processes that sleep; their own work takes what it takes."""
    fork = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        out, ready = Path(folder), fork.Barrier(count + 1)
        cells = cells_in(out, options, options.scale)
        crew = [fork.Process(target=_worker, args=(cells, out, ready)) for _ in range(count)]
        for process in crew:
            process.start()
        ready.wait()
        started = time.perf_counter()
        for process in crew:
            process.join()
        seconds = time.perf_counter() - started
        left = len(list((out / ".locks").iterdir()))
    return facts(cells, count, seconds) | {"processes": True, "left": left}


def claim_ms(options: argparse.Namespace, times: int = 500) -> float:
    """Milliseconds of this machine for all that a cell takes beside its work, median of many."""
    marks: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        cells = cells_in(Path(folder), options)[:times]
        work_through(cells, Path(folder), lambda _: marks.append(time.perf_counter()))
    return round(1e3 * statistics.median(np.diff(marks[::2])), 2)


def main() -> None:
    options = arguments()
    here.within_memory = _plainly  # type: ignore[assignment]
    print(json.dumps({"claim_ms": claim_ms(options)}), flush=True)
    for count in options.processes:
        print(json.dumps(in_processes(options, count)), flush=True)
    for count in () if options.processes else options.workers:
        print(json.dumps(simulated(options, count)), flush=True)


if __name__ == "__main__":
    main()
