"""The straight line: config -> plan -> cells -> train -> predict -> record -> report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from promptbench import records
from promptbench.core import registry
from promptbench.core.registry import BUILT_IN, Plugin
from promptbench.data import decoded
from promptbench.errors import RunError, UserError, one_line
from promptbench.planning import labels, plan
from promptbench.planning.cells import Cell
from promptbench.planning.machine import Machine
from promptbench.planning.notes import notes_of
from promptbench.planning.plan import Plan
from promptbench.planning.request import Request
from promptbench.records import Record
from promptbench.running import executor, failures, filling
from promptbench.running.afterwards import Heard
from promptbench.running.executor import Executor, Limit, Work
from promptbench.running.lab.compute import Compute, of_elsewhere, of_machine
from promptbench.running.predicting import feature_cache
from promptbench.storage.files import ensure_writable
from promptbench.support import stopping
from promptbench.support.prose import counted
from promptbench.tracking import Listener, Listeners, choosing


def execute(
    requests: Request | Sequence[Request],
    machine: Machine | None = None,
    listener: Listener | None = None,
) -> list[Record]:
    """Compute all pending cells of requests and return the records of all their cells, in order.

    Requests may differ in everything, backbone and data root included.

    Raises:
        CellsFailed: cells that could not be computed, after all the others were.
        UserError: what the user can fix; cells that were finished before stay on disk.
    """
    machine = machine or Machine()
    registry.add_files(machine.plugin)
    asked = [requests] if isinstance(requests, Request) else list(requests)
    plans, compute = plans_of(asked, machine)
    return run_plans(plans, machine, compute, listener)


def plans_of(
    requests: Sequence[Request], machine: Machine, writes: bool = True
) -> tuple[list[Plan], Compute]:
    """The plans of requests and the device of a machine, for `run_plans`.

    Args:
        writes: whether the output folder must be there, or be made; a script for machines
            elsewhere may name one that only they have.

    Raises:
        UserError: what the user can fix, before anything is computed.
    """
    compute = compute_of(machine, writes)
    made = plan.of_requests(requests, compute.precision, machine.out)
    return labels.told_apart(made), compute


def compute_of(machine: Machine, writes: bool = True) -> Compute:
    """The device of a machine, for `compute_pending`.

    Args:
        writes: as `plans_of`.

    Raises:
        UserError: what the user can fix, before anything is computed.
    """
    by = executor.chosen(machine)  # a contradiction is refused at once
    if by.cls.elsewhere:
        compute = of_elsewhere(machine.device, machine.precision)
    else:
        compute = of_machine(machine)
    if writes:
        ensure_writable(machine.out)
    return compute


def run_plans(
    plans: Sequence[Plan], machine: Machine, compute: Compute, listener: Listener | None = None
) -> list[Record]:
    """`execute` for plans that are made, with their records under the machine's `out`.

    Raises:
        Stopped: a signal asked for it (`promptbench.support.stopping`).
    """
    with stopping.answering(tell=partial(print, file=sys.stderr)):
        return _run_plans(plans, machine, compute, listener)


def _run_plans(
    plans: Sequence[Plan], machine: Machine, compute: Compute, listener: Listener | None
) -> list[Record]:
    compute_pending(plans, machine, compute, listener)
    return _found(plans, machine.out)


def compute_pending(
    plans: Sequence[Plan],
    machine: Machine,
    compute: Compute,
    listener: Listener | None = None,
    limit: Limit | None = None,
    whole: bool = True,
) -> None:
    """Compute the pending cells of plans; cells that fail leave their logs.

    Those that `limit` does not let processes begin are left. `whole` is false in a worker of a run
    that was started elsewhere: its trackers hear of cells only.

    Raises:
        UserError: what the user can fix; cells that were finished before stay on disk.
        Stopped: a signal asked for it.
    """
    feature_cache.bound_here()  # a wrong one would make every cell fail
    decoded.bound_here()
    quiet = machine.quiet or listener is not None
    trackers = choosing.of_run(machine.trackers, machine.out, quiet, whole)
    listener = trackers if listener is None else Listeners([listener, trackers])
    if machine.retry_failed:
        for made in plans:
            failures.forget(made.pending(), machine.out)
    try:
        for made in plans:
            listener.planned(made)
        cells = _to_compute(plans, machine.out, listener)
        if cells:
            heard = Heard(listener)
            machine = filling.filled(machine, plans, cells, compute, listener)
            by = executor.chosen(machine)
            _carried_out(by, Work(plans, cells, machine, compute, heard, limit or Limit()))
            heard.tell_the_rest(cells, machine.out)
    finally:
        listener.close()


def script_of(plans: Sequence[Plan], machine: Machine, compute: Compute) -> str:
    """The batch script of a machine's executor for the pending cells of plans.

    Raises:
        UserError: nothing is pending, or the executor has none.
    """
    if machine.retry_failed:
        raise UserError(
            "--print contradicts --retry-failed: workers leave alone what has failed, and only a "
            "run from here forgets it; leave one of them out"
        )
    cells = failures.not_failed((cell for made in plans for cell in made.pending()), machine.out)
    if not cells:
        raise UserError("--print: nothing to compute, every cell has its record or has failed")
    by = executor.chosen(machine)
    return by.cls().script(Work(plans, cells, machine, compute, Listener()))


def _to_compute(plans: Sequence[Plan], out: Path, listener: Listener) -> list[Cell]:
    """The cells without a record that have not failed before; the listener hears what is odd."""
    finished, pending = plan.parted(plans)
    cells = failures.not_failed(pending, out)
    for note in notes_of(plans, cells, finished):
        listener.message(note)
    if len(cells) < len(pending):
        before = counted(len(pending) - len(cells), "cell")
        listener.message(f"left alone: {before} that failed before (see --retry-failed)")
    if not pending:
        listener.message("nothing to compute: every cell has its record")
    return cells


def _carried_out(by: Plugin[Executor], work: Work) -> None:
    try:
        by.cls().run(work)
    except UserError:
        raise
    except Exception as error:  # plugins may raise anything
        if by.provider == BUILT_IN:
            raise
        raise RunError(
            f"the executor {by.name!r} ({by.provider}) failed: {one_line(error)}; what is finished "
            "is kept"
        ) from error


def _found(plans: Sequence[Plan], out: Path) -> list[Record]:
    """The records of all cells.

    Raises:
        CellsFailed: some have none.
    """
    found, failed = [], []
    for made in plans:
        for cell in made.cells:
            if cell.is_done(out):
                found.append(records.read(cell.folder(out) / records.RECORD))
            else:
                failed.append(cell)
    if failed:
        raise failures.error_of(failed, out, found)
    return found
