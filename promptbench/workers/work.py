"""A worker: `promptbench work PLAN`, wherever an engine starts it.

It computes the cells of a plan file that no other worker computes, in as many processes as its
GPUs take, until none is left. Who computes what is decided by claims below the output folder, so
that workers may come, go and come again as they like.
"""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import replace
from pathlib import Path

import torch

from promptbench.errors import UserError
from promptbench.planning.machine import Machine
from promptbench.running.lab.compute import Compute, resolve
from promptbench.running.session import compute_pending
from promptbench.storage.files import ensure_writable, write_whole
from promptbench.support.prose import counted
from promptbench.tracking import Listener
from promptbench.workers import at_hand, orders, pins
from promptbench.workers.at_hand import AtHand
from promptbench.workers.orders import Order

REFUSALS = "refusals"


class Refusal(UserError):
    """This worker cannot take part; its plan's folder says why, and others may go on."""


def carry_out(path: Path, out: Path | None = None, listener: Listener | None = None) -> int:
    """Compute what is left of a plan file, together with other workers; how many cells failed.

    Args:
        out: where the output folder of the plan lies on this machine, if elsewhere.
        listener: hears of it in place of the trackers of a run.

    Raises:
        Refusal: code, settings, packages or data are not those of the submission, or there is no
            such device; the plan's folder has a note of it for whoever watches.
        UserError: what stops any run, such as a full disk.
        Stopped: a signal asked for it, and what was computed is saved.
    """
    order = orders.read(path, out)
    try:
        found, compute = prepared(order)
    except UserError as error:
        refusal = Refusal(f"this worker ({name_of_here()}) takes no part: {error}")
        _leave_word(order, str(refusal))
        raise refusal from error
    for remark in found.remarks:
        _leave_word(order, f"{name_of_here()}: {remark}")
    plans = found.computable()
    compute_pending(plans, _with_jobs(order.machine, compute), compute, listener)
    return sum(not cell.is_done(order.machine.out) for made in plans for cell in made.cells)


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
    """The machine with a process for each GPU that is visible, or as many as are asked for."""
    several = compute.device.type == "cuda" and compute.device.index is None
    return replace(machine, jobs=machine.per_gpu * (torch.cuda.device_count() if several else 1))


def name_of_here() -> str:
    """This worker: its host, and its job where a batch system has given it one."""
    host = platform.node()
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")
    node = os.environ.get("SLURMD_NODENAME", host)
    return f"{node}, job {job}" if job else node


def _leave_word(order: Order, text: str) -> None:
    name = f"{platform.node()}-{os.getpid()}-{hashlib.sha256(text.encode()).hexdigest()[:6]}.txt"
    write_whole(order.folder / REFUSALS / name, f"{text}\n".encode())


def about_failed(failed: int) -> str:
    """The sentence of a worker that ends with cells that failed."""
    return f"{counted(failed, 'cell')} failed; the folder of each has its log"
