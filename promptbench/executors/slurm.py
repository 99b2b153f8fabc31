"""Slurm: an array of identical workers, each a task on one node, which share the cells by claims.

They are submitted through submitit (extra `slurm`), or by hand from the script of `--print`. What
is done is seen from the output folder; Slurm is asked only whether its queue has workers left.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from promptbench.api import Executor, UserError, Work, counted
from promptbench.executors._slurm import commands, options, script, submitting
from promptbench.executors._slurm.commands import Unanswered
from promptbench.executors._slurm.options import NAME
from promptbench.executors._slurm.submitting import Submitting
from promptbench.planning import profiles
from promptbench.planning.machine import Machine
from promptbench.storage.reading import parse_json
from promptbench.tracking import Listener
from promptbench.workers.looking_on import watching
from promptbench.workers.plan import orders, submissions
from promptbench.workers.plan.orders import Order
from promptbench.workers.plan.submissions import Submission

_PAUSE = 20.0  # seconds between questions to the queue, which a whole cluster shares


class Slurm(Executor):
    """Submits workers to Slurm and looks on."""

    title = "workers on the nodes of a Slurm cluster, as one array"
    elsewhere = True

    def run(self, work: Work) -> None:
        by = _ready(work.machine)
        order = orders.make(work.plans, work.machine, work.compute.precision)
        earlier = _workers_at(order)
        there = sum(earlier.values())
        wanted = _wanted(work, there)
        if there:
            work.listener.message(_about_earlier(there, wanted, work.machine.jobs))
        plans = {script.job_name(path.name): path for path in earlier}
        if wanted:
            submission = by.submit(order, wanted)
            plans[script.job_name(order.id)] = order.folder
            work.listener.message(_about(submission, wanted, by.options, order))
        else:
            order = _of_folder(order, next(iter(earlier)))
        watching.watch(work, order, _Queue(order, plans, work.listener).alive)

    def script(self, work: Work) -> str:
        by = _submitting(work.machine)
        order = orders.make(work.plans, work.machine, work.compute.precision)
        workers = min(work.machine.jobs, len(work.cells))
        return script.whole(order, workers, by.profile, by.options, work.machine.device)

    def submit(self, argv: Sequence[str], folder: Path, machine: Machine, count: int) -> str:
        """Start copies of a command of promptbench on nodes, and do not wait for them."""
        jobs = _ready(machine).start(argv[1:], folder, count)
        return f"Slurm's job {', '.join(jobs)}"

    def ended(self, folder: Path) -> str | None:
        if commands.queued([script.job_name(folder.name)]) != []:
            return None
        return f"Slurm has none of them any more ({submitting.last_words(folder)})"

    def cancel(self, folder: Path) -> str:
        name = script.job_name(folder.name)
        try:
            there = commands.queued([name])
            commands.end(name)
        except Unanswered as error:
            raise UserError(
                f"the workers of {folder.name} cannot be ended from here: {error}; type `scancel "
                f"--name={name}` where Slurm answers"
            ) from error
        if there is not None and not there:
            return f"Slurm has no workers of {folder.name} any more"
        many = "the workers" if there is None else counted(len(there), "worker")
        return f"Slurm ends {many} of {folder.name}"


def _submitting(machine: Machine) -> Submitting:
    """The profile of a machine and its options, checked."""
    profile = profiles.of(machine)
    options.refuse_numbered(machine)
    return Submitting(profile, options.options_of(profile), machine.device)


def _ready(machine: Machine) -> Submitting:
    """The same, where jobs can be submitted.

    Raises:
        UserError: Slurm, submitit or a partition is not there.
    """
    commands.require()
    by = _submitting(machine)
    submitting.imported()
    where = "" if by.profile.path is None else f"slurm.partition of {by.profile.path}"
    commands.check_partitions(by.options.partition, where)
    return by


def _wanted(work: Work, there: int) -> int:
    """How many workers to submit: `--jobs` in all, and not more than there are cells.

    Those that are there have passed over cells that failed before: to try these again takes others.
    """
    jobs = work.machine.jobs if work.machine.retry_failed else work.machine.jobs - there
    if jobs > len(work.cells):
        work.listener.message(
            f"{counted(len(work.cells), 'cell')} left: as many workers, not {jobs}"
        )
    return max(0, min(jobs, len(work.cells)))


def _about_earlier(there: int, wanted: int, jobs: int) -> str:
    said = f"{counted(there, 'worker')} of an earlier submission of the same run still there"
    if wanted:
        return f"{said}; adding {wanted}"
    return f"{said}: looking on, and adding none (--jobs {max(jobs, there) + 1} would add one)"


def _about(submission: Submission, workers: int, options_: options.Options, order: Order) -> str:
    minutes = None if options_.time is None else options.minutes_of(options_.time)
    limit = "" if not minutes else f", each for at most {options.said_of(minutes)} at a time"
    place = "" if options_.partition is None else f" to {options_.partition}"
    jobs = ", ".join(submission.jobs)
    return (
        f"submitted {counted(workers, 'worker')}{place}{limit} (Slurm's job {jobs}); their logs "
        f"are in {order.folder / submitting.LOGS}"
    )


def _workers_at(order: Order) -> dict[Path, int]:
    """Folders of earlier plans that are the same, and how many workers Slurm has for each."""
    same = {script.job_name(path.name): path for path in _same(order)}
    found: dict[Path, int] = {}
    for worker in commands.queued(same) or ():
        path = same[worker.job_name]
        found[path] = found.get(path, 0) + 1
    return found


def _same(order: Order) -> Iterable[Path]:
    """Folders of plans that ask for the same cells, by the same code, and are not cancelled."""
    mine = json.loads(order.text())
    for path in orders.all_of(order.machine.out):
        folder = path.parent
        submission = submissions.read(folder)
        if submission is None or submission.engine != NAME or (folder / "cancelled").exists():
            continue
        theirs: Any = parse_json(path.read_bytes())
        if all(theirs.get(key) == mine[key] for key in ("requests", "precision", "pins")):
            yield folder


def _of_folder(order: Order, folder: Path) -> Order:
    """The order with the id of an earlier one that is the same."""
    return replace(order, id=folder.name)


@dataclass
class _Queue:
    """Whether Slurm still has workers for the cells of an order, asked now and then."""

    order: Order
    plans: dict[str, Path]  # by the names of their jobs
    listener: Listener
    _asked: float = field(default=float("-inf"), init=False)
    _gone: str | None = field(default=None, init=False)
    _told: set[str] = field(default_factory=set, init=False)

    def alive(self) -> str | None:
        """None while workers run or wait, or Slurm does not answer; else why there are none."""
        if time.monotonic() - self._asked >= _PAUSE:
            self._asked = time.monotonic()
            workers = commands.queued(self.plans)
            if workers == []:  # somebody else may have submitted the same meanwhile
                self.plans |= {script.job_name(path.name): path for path in _workers_at(self.order)}
                workers = commands.queued(self.plans)
            if workers is not None:
                self._tell(workers)
                self._gone = None if workers else self._why()
        return self._gone

    def _tell(self, workers: list[commands.Queued]) -> None:
        """Say once that workers wait or run, and for which reason if waiting may not end it."""
        waiting = sum(worker.state == "PD" for worker in workers)
        if waiting and waiting == len(workers):
            self._say_once(f"{counted(waiting, 'worker')} in Slurm's queue")
        elif workers:
            self._say_once("workers run; each takes a while to begin, and may prepare data first")
        for reason, number in commands.held_back(workers).items():
            self._say_once(f"Slurm lets {counted(number, 'worker')} wait: {reason}", reason)

    def _say_once(self, text: str, about: str | None = None) -> None:
        about = about or text
        if about not in self._told:
            self._told.add(about)
            self.listener.message(text)

    def _why(self) -> str:
        folder = list(self.plans.values())[-1]
        return f"Slurm has none of them any more ({submitting.last_words(folder)})"
