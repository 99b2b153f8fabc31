"""What an executor is: it sees to it that the cells of a run are computed, wherever that may be.

Cells are claimed by leases below the output folder, and their records are found there, so that an
executor only decides which processes work, on how many cells. None of it moves a number.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from promptbench.core import registry
from promptbench.core.registry import EXECUTORS, Plugin
from promptbench.errors import UserError
from promptbench.planning.machine import Machine
from promptbench.support.stopping import Stopped
from promptbench.tracking import Listener

if TYPE_CHECKING:
    from promptbench.planning.cells import Cell
    from promptbench.planning.plan import Plan
    from promptbench.running.lab.compute import Compute

_COMMAND = "from promptbench.cli import main; main(prog_name='promptbench')"
LOCAL, PROCESSES = "local", "processes"  # what `--jobs` stands for by itself


class Limit:
    """What keeps a process from beginning cells; plain data, since processes are handed it."""

    def may_begin(self, cell: Cell) -> bool:
        """Whether a cell may still be begun; one that may not is left to others."""
        return True

    def now(self) -> float:
        """The time, in seconds since any moment."""
        return time.monotonic()

    def cut_off(self, began: float, stop: Stopped) -> bool:
        """Whether a stop came because the time is over, most of which went to a cell begun then."""
        return False


@dataclass(frozen=True)
class Work:
    """The cells of plans that are still to be computed, how and on what, and who hears of it.

    Those that `limit` does not let it begin are left, without a record or a log.
    """

    plans: Sequence[Plan]
    cells: Sequence[Cell]
    machine: Machine
    compute: Compute
    listener: Listener
    limit: Limit = field(default_factory=Limit)

    def compute_here(self) -> None:
        """Compute, in this process, the cells that no other process computes; wait for those.

        A cell that fails leaves its log, and the others go on.

        Raises:
            RunError: the output folder cannot be written any more, a server or the GPU is gone.
            Stopped: a signal asked for it; what was computed is saved.
        """
        from promptbench.running import here  # with torch and all that computes

        here.compute(self.plans, self.cells, self.machine, self.compute, self.listener, self.limit)

    def packed(self) -> bytes:
        """The work for another process on this machine, with the plugin files that it needs.

        It is a pickle, and paths in it may be relative to the working folder of this process.
        """
        work = pickle.dumps((self.plans, self.cells, self.machine, self.compute, self.limit))
        return pickle.dumps((registry.files(), work))

    @classmethod
    def unpacked(cls, data: bytes, listener: Listener | None = None) -> Work:
        """The work as `packed` gave it, in the process that is to do it (a part of) it."""
        files: list[Path]
        files, work = pickle.loads(data)
        for path in files:
            kind, name = registry.add_file(path)
            kind.load(name)  # before their classes are unpickled
        plans, cells, machine, compute, limit = pickle.loads(work)
        return cls(plans, cells, machine, compute, listener or Listener(), limit)


class Executor(ABC):
    """Base class of executors: a plugin is a module with one class derived from it.

    `takes_jobs`: several processes may be asked of it (`--jobs`).
    `elsewhere`: it computes on other machines, whose devices cannot be seen from here.
    `takes_address`: it can be told where its engine is (`--address`).
    """

    title: ClassVar[str]
    takes_jobs: ClassVar[bool] = True
    elsewhere: ClassVar[bool] = False
    takes_address: ClassVar[bool] = False

    @abstractmethod
    def run(self, work: Work) -> None:
        """Return when every cell of the work has its record, or the log of its failure.

        `work.listener` hears of the cells that this process computes. Of others it hears when they
        have all ended, from their records, unless the executor reports them itself.

        Args:
            work: at least one cell, and `work.machine.jobs` processes at most to compute it in.

        Raises:
            UserError: what keeps all cells from being computed, such as a full disk.
            Stopped: a signal asked for it, and what was computed is saved.
        """

    def script(self, work: Work) -> str:
        """A batch script that computes the work when somebody submits it (`--print`).

        Raises:
            UserError: the executor has no such thing.
        """
        raise UserError(f"--print: {type(self).title} needs no batch script; leave it out")

    def submit(self, argv: Sequence[str], folder: Path, machine: Machine, count: int) -> str:
        """Start copies of a command on the engine's machines, and do not wait for them.

        Args:
            argv: the command and its arguments; it is one of promptbench's own.
            folder: where logs of it may lie.
            machine: how workers are started, and with which profile.
            count: how many copies, at the same time if possible.

        Returns:
            What the engine calls them, in a few words.

        Raises:
            UserError: they cannot be started.
        """
        command = [sys.executable, "-c", _COMMAND, *argv[1:]]
        with (folder / "log.txt").open("ab") as log:
            for _ in range(count):
                subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        return f"{count} processes"

    def ended(self, folder: Path) -> str | None:
        """Why none of what `submit` started is left; None while some is, or nobody knows.

        Args:
            folder: as given to `submit`.
        """
        return None

    def cancel(self, folder: Path) -> str:
        """End what the engine has of one plan, running or waiting; the sentence for the user.

        Args:
            folder: the plan's, `.work/ID` below the output folder, where `jobs.json` says what
                was submitted.

        Raises:
            UserError: the engine does not answer.
        """
        return "its workers end by themselves"


def _counts(machine: Machine) -> list[tuple[str, int]]:
    return [("jobs", machine.jobs), ("per-gpu", machine.per_gpu)]


def chosen(machine: Machine) -> Plugin[Executor]:
    """The executor that a machine names, else the usual one for its number of processes.

    Raises:
        UserError: one that cannot be loaded, or takes no such number of processes.
    """
    asked = [f"--{name} {count}" for name, count in _counts(machine) if count > 1]
    several = bool(asked)
    found: Plugin[Executor] = EXECUTORS.load(machine.on or (PROCESSES if several else LOCAL))
    if several and not found.cls.takes_jobs:
        raise UserError(
            f"--on {found.name} ({found.cls.title}) contradicts {asked[0]}; leave one of them out "
            "(`promptbench ls executors` says what else there is)"
        )
    if len(asked) > 1 and found.name == PROCESSES:
        raise UserError(
            f"{asked[0]} says how many processes compute in all, {asked[1]} how many for each GPU "
            "of this machine; leave one of them out"
        )
    if machine.address is not None and not found.cls.takes_address:
        raise UserError(f"--address {machine.address}: the executor {found.name} takes none")
    return found
