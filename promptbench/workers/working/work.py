"""A worker: `promptbench work PLAN`, wherever an engine starts it.

It computes the cells of a plan file that no other worker computes, in as many processes as its
GPUs take, until none is left. Who computes what is decided by claims below the output folder, so
that workers may come, go and come again as they like.
"""

from __future__ import annotations

import hashlib
import math
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from promptbench.errors import UserError
from promptbench.planning.machine import Machine
from promptbench.planning.plan import Plan
from promptbench.running import failures
from promptbench.running.executor import PROCESSES
from promptbench.running.lab.compute import Compute, resolve
from promptbench.running.session import compute_pending
from promptbench.storage.files import ensure_writable, write_whole
from promptbench.support import stopping, whereabouts
from promptbench.support.prose import counted
from promptbench.tracking import Listener
from promptbench.workers.looking_on.cancelling import is_cancelled
from promptbench.workers.plan import orders, pins, roster
from promptbench.workers.plan.orders import Order
from promptbench.workers.plan.places import CELLS, REFUSALS
from promptbench.workers.plan.roster import Entry
from promptbench.workers.working import at_hand
from promptbench.workers.working.at_hand import AtHand
from promptbench.workers.working.deadline import Deadline
from promptbench.workers.working.ending import TRY_AGAIN
from promptbench.workers.working.minding import minding
from promptbench.workers.working.span import Span


class Refusal(UserError):
    """This worker cannot take part; its plan's folder says why, and others may go on."""


class Unfinished(UserError):
    """Cells are left that this worker cannot finish in its time; `exit_code` says whether to start
    it again, since cells have ended meanwhile, or not."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # of one kind, one of two


def carry_out(
    path: Path,
    out: Path | None = None,
    listener: Listener | None = None,
    span: Span | None = None,
) -> int:
    """Compute what is left of a plan file, together with other workers; how many cells failed.

    It stops as by a signal when the plan is cancelled, and shortly before the end of its time.

    Args:
        out: where the output folder of the plan lies on this machine, if elsewhere.
        listener: hears of it in place of the trackers of a run.
        span: this worker's time; without one it has no end.

    Raises:
        Refusal: code, settings, packages or data are not those of the submission, or there is no
            such device; the plan's folder has a note of it for whoever watches.
        Unfinished: cells are left that cannot be finished before the end.
        UserError: what stops any run, such as a full disk.
        Stopped: a signal asked for it, and what was computed is saved.
    """
    order = orders.read(path, out)
    span = span or Span(time.time())
    limit = Deadline(span, order.machine.out, _save_every(order))

    def why_to_stop() -> str | None:
        if is_cancelled(order.folder):
            return f"the plan {order.id} was cancelled"
        return limit.over()

    with minding(why_to_stop):
        try:
            found, compute = prepared(order)
        except UserError as error:
            stopping.refuse_wrapped(error)
            refusal = Refusal(f"this worker ({whereabouts.name()}) takes no part: {error}")
            _leave_word(order, str(refusal))
            raise refusal from error
        for remark in found.remarks:
            _leave_word(order, f"{whereabouts.name()}: {remark}")
        cells = _listed(order, found.plans)
        limit.know(cells)
        plans = found.computable()
        before = _count_left(plans, order.machine.out)
        machine = _with_jobs(order.machine, compute)
        compute_pending(plans, machine, compute, listener, limit, whole=False)
    left = _count_left(plans, machine.out)
    if left and span.end < math.inf:
        raise _unfinished(left, before, span)
    return sum(not cell.is_done(machine.out) for made in plans for cell in made.cells)


def _count_left(plans: Sequence[Plan], out: Path) -> int:
    """How many cells have neither a record nor a log."""
    return len(failures.not_failed((cell for made in plans for cell in made.pending()), out))


def _unfinished(left: int, before: int, span: Span) -> Unfinished:
    """The error for cells that are left, of those before; they end a worker that is of no use."""
    text = (
        f"{counted(left, 'cell')} left that cannot be finished or saved before this worker's time "
        f"ends at {span.clock}"
    )
    if left < before:
        return Unfinished(f"{text}; start it again", TRY_AGAIN)
    return Unfinished(f"{text}, and none has ended since it began: give workers more time", 1)


def _save_every(order: Order) -> float:
    return 60 * order.machine.checkpoint_minutes


def _listed(order: Order, plans: Sequence[Plan]) -> tuple[Entry, ...]:
    """The cells of an order, as its folder lists them: from now on, if a script has made it."""
    if not (order.folder / CELLS).is_file():
        roster.write(order.folder, roster.of_plans(plans))
    return roster.read(order.folder)


def prepared(order: Order) -> tuple[AtHand, Compute]:
    """The plans of an order as they are here, and the device.

    Raises:
        UserError: this machine is not what the order was submitted with.
    """
    machine = order.machine
    ensure_writable(machine.out)
    compute = resolve(machine.device, order.precision)
    found = at_hand.look(order)
    if differing := pins.differences(order.pins, pins.of_here(found.plans)):
        raise UserError(f"it is not what the plan was submitted with: {'; '.join(differing)}")
    return found, compute


def _with_jobs(machine: Machine, compute: Compute) -> Machine:
    """The machine with a process for each GPU that is visible, or as many as are asked for.

    On a GPU also one computes beside this process, which replaces it when its GPU is lost to it: a
    cell that ends it each time would end one worker after the other.
    """
    on_gpu = compute.device.type == "cuda"
    several = on_gpu and compute.device.index is None
    jobs = machine.per_gpu * (torch.cuda.device_count() if several else 1)
    return replace(machine, jobs=jobs, per_gpu=1, on=PROCESSES if on_gpu else machine.on)


def _leave_word(order: Order, text: str) -> None:
    name = f"{platform.node()}-{os.getpid()}-{hashlib.sha256(text.encode()).hexdigest()[:6]}.txt"
    write_whole(order.folder / REFUSALS / name, f"{text}\n".encode())


def about_failed(failed: int) -> str:
    """The sentence of a worker that ends with cells that failed."""
    return f"{counted(failed, 'cell')} failed; the folder of each has its log"
