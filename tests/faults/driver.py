"""Runs in processes of their own that can be killed, and what they leave compared.

Children are forked from a server that has imported everything (a cold start takes seconds), but
has run nothing: no thread, no lock, no cache of a run crosses the fork.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import promptbench
from promptbench import records
from promptbench.cli import main
from promptbench.records.verify import recompute
from promptbench.running.failures import CellsFailed

NOISY = Path(__file__).with_name("noisy.py")
TINY: dict[str, Any] = {
    "methods": "noisy",
    "protocols": "base_to_new",
    "plugin": [str(NOISY)],
    "datasets": ["counts"],
    "shots": 4,
    "limit": 20,
    "seeds": [1, 2],
    "set": [
        *("Recipe.epochs=3", "Recipe.batch_size=2", "Recipe.optimizer='adamw'"),
        "Recipe.average=(1.5, 1.0)",  # which a snapshot holds as well
    ],
    "checkpoint_minutes": 0,  # after every step
    "quiet": True,
}
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.faults.preload"])


def run(out: Path, **changes: Any) -> list[records.Record]:
    """The tiny grid in this process."""
    options = {**TINY, "out": out, **changes}
    return promptbench.run(options.pop("methods"), options.pop("protocols"), **options)


def start(out: Path, before: Callable[[], None] | None = None, **changes: Any) -> BaseProcess:
    """The tiny grid in a process of its own; `before` is called in it first."""
    return child(_alone, out, before, changes)


def child(work: Callable[..., object], *arguments: Any) -> BaseProcess:
    """A function in a process of its own, with this one's environment."""
    process = _SERVER.Process(target=_called, args=(dict(os.environ), work, arguments))
    process.start()
    return process


def _called(
    environment: dict[str, str], work: Callable[..., object], arguments: tuple[Any, ...]
) -> None:
    os.environ.update(environment)
    os.environ.pop("WANDB_SERVICE", None)  # a service that this process's parent may have ended
    work(*arguments)


def command(said: Path, *words: str) -> BaseProcess:
    """A command in a process and a session of its own; what it says goes to a file."""
    return child(_command, said, words)


def _command(said: Path, words: tuple[str, ...]) -> None:
    os.setsid()
    file = os.open(said, os.O_WRONLY | os.O_CREAT)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(file, 2)
    main(words)


def _alone(out: Path, before: Callable[[], None] | None, changes: dict[str, Any]) -> None:
    os.setpgid(0, 0)  # its own group, for its own workers to die with it
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup ignores, and a run then leaves so
    if before is not None:
        before()
    try:
        run(out, **changes)
    except CellsFailed:
        os._exit(1)


@dataclass
class Tally:
    """What the kills came to."""

    kills: int = 0
    grids: int = 0
    cells: int = 0
    lost: int = 0
    duplicated: int = 0
    differing: list[str] = field(default_factory=list)

    def add(self, out: Path, reference: dict[str, Any]) -> None:
        """Compare a finished grid with the undisturbed one."""
        found = numbers(out)
        self.grids += 1
        self.cells += len(found)
        self.lost += len(reference.keys() - found.keys())
        self.duplicated += len(records.find([out])) - len(found)
        self.differing += [c for c in found if found[c] != reference.get(c)]


def numbers(out: Path) -> dict[str, Any]:
    """Every number of every cell, once its predictions give them."""
    found = {}
    for path in records.find([out]):
        record = records.read(path)
        recompute(record, path.parent)
        assert records.damage(path.parent) is None, path
        found[record.cell_id] = record.numbers()
    return found


def kill_at_random(
    folder: Callable[[int], Path],
    kills: int,
    reference: dict[str, Any],
    seed: int,
    *,
    processes: int = 1,
    longest: float = 2.0,
    **changes: Any,
) -> Tally:
    """Kill processes at random moments until `kills` are dead; finish and compare every grid.

    Args:
        folder: where the grid of a number is computed.
        processes: how many runs work at a grid at the same time.
        longest: seconds of the longest life.
        changes: of the tiny grid; with `jobs`, its worker processes are killed as well.
    """
    stream, tally = random.Random(seed), Tally()
    while tally.kills < kills:
        out, codes = folder(tally.grids), [-1]
        while 0 not in codes:
            again = {"retry_failed": True} if _given_up(out) else {}
            crew = [start(out, **{**changes, **again}) for _ in range(processes)]
            for process in crew:
                if tally.kills < kills and stream.random() < 0.9:
                    process.join(stream.uniform(0.02, longest))
                    tally.kills += _kill(process, stream)
            for process in crew:
                process.join()
                wait_for_orphans(process.pid)
            codes = [process.exitcode or 0 for process in crew]
            assert {-signal.SIGKILL, 0, -1, 1}.issuperset(codes), codes
            assert 1 not in codes or _given_up(out), "a cell failed of something else than kills"
        tally.add(out, reference)
    return tally


def _given_up(out: Path) -> bool:
    """Whether every cell that failed was killed twice before it had saved anything."""
    logs = [log.read_text() for log in out.rglob("failed.log")]
    return bool(logs) and all(log.startswith("the last 2 attempts ended") for log in logs)


def _kill(process: BaseProcess, stream: random.Random) -> int:
    """Kill a run, or one of its worker processes; how many were killed."""
    if process.pid is None or not process.is_alive():
        return 0
    family = [process.pid, *_workers(process.pid)]
    try:
        os.kill(stream.choice(family), signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1


def _workers(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [int(child) for child in listed.read_text().split()]
    except FileNotFoundError:
        return []


def wait_for_orphans(group: int | None) -> None:
    """A killed run's worker processes end by themselves, within seconds."""
    limit = time.monotonic() + 20
    while group is not None and time.monotonic() < limit:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("worker processes outlive their run")
