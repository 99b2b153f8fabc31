"""The straight line: config -> plan -> cells -> train -> predict -> record -> report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from promptbench import records, stopping
from promptbench.lab.compute import Compute, resolve
from promptbench.planning import labels, plan
from promptbench.planning.notes import notes_of
from promptbench.planning.plan import Plan
from promptbench.planning.request import Request
from promptbench.predicting import feature_cache
from promptbench.prose import counted
from promptbench.records import Record
from promptbench.running import alone, failures, workers
from promptbench.running.work import Work
from promptbench.storage import locks
from promptbench.storage.files import ensure_writable
from promptbench.tracking import Listener, Listeners, choosing


def execute(
    requests: Request | Sequence[Request], listener: Listener | None = None
) -> list[Record]:
    """Compute all pending cells of requests and return the records of all their cells, in order.

    Several requests share device, precision, backbone and output folder: those of the first.

    Raises:
        CellsFailed: cells that could not be computed, after all the others were.
        UserError: what the user can mend; cells that were finished before stay on disk.
    """
    asked = [requests] if isinstance(requests, Request) else list(requests)
    plans, compute = plans_of(asked)
    return run_plans(plans, asked[0], compute, listener)


def plans_of(requests: Sequence[Request]) -> tuple[list[Plan], Compute]:
    """The plans of requests and the machine's side of the first, for `run_plans`.

    Raises:
        UserError: what the user can fix, before anything is computed.
    """
    first = requests[0]
    compute = resolve(first.device, first.precision)
    ensure_writable(Path(first.out))
    plans = plan.distinct([plan.build(request, compute.precision) for request in requests])
    return labels.told_apart(plans), compute


def run_plans(
    plans: Sequence[Plan], request: Request, compute: Compute, listener: Listener | None = None
) -> list[Record]:
    """`execute` for plans that are made, with the machine's side of one request.

    Raises:
        Stopped: a signal asked for it (`promptbench.stopping`).
    """
    with stopping.answering(tell=partial(print, file=sys.stderr)):
        return _run_plans(plans, request, compute, listener)


def _run_plans(
    plans: Sequence[Plan], request: Request, compute: Compute, listener: Listener | None
) -> list[Record]:
    feature_cache.bound_here()  # a wrong one would make every cell fail
    quiet = request.quiet or listener is not None
    trackers = choosing.of_run(request.track, Path(request.out), quiet)
    listener = trackers if listener is None else Listeners([listener, trackers])
    if request.retry_failed:
        for made in plans:
            failures.forget(made.pending(), made.out)
    try:
        for made in plans:
            listener.planned(made)
        pending = [cell for made in plans for cell in made.pending()]
        cells = failures.not_failed(pending, plans[0].out)
        for note in notes_of(plans, cells):
            listener.message(note)
        work = Work(plans, cells, request, compute, listener)
        if len(cells) < len(pending):
            before = counted(len(pending) - len(cells), "cell")
            listener.message(f"left alone: {before} that failed before (see --retry-failed)")
        if cells and (told := locks.stand_ins(plans[0].out)) is not None:
            listener.message(told)
        if not pending:
            listener.message("nothing to compute: every cell has its record")
        elif min(request.jobs, len(cells)) > 1:
            workers.run(work)
        elif cells:
            alone.run(work)
    finally:
        listener.close()
    return _found(plans)


def _found(plans: Sequence[Plan]) -> list[Record]:
    """The records of all cells.

    Raises:
        CellsFailed: some have none.
    """
    found, failed = [], []
    for made in plans:
        for cell in made.cells:
            if cell.is_done(made.out):
                found.append(records.read(cell.folder(made.out) / records.RECORD))
            else:
                failed.append(cell)
    if failed:
        raise failures.error_of(failed, plans[0].out, found)
    return found
