"""Holders that died or live on another machine, and what they left behind."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path

from promptbench.storage import leases
from promptbench.storage.leases.files import look
from promptbench.storage.leases.holder import Holder

FORK = multiprocessing.get_context("fork")


def left(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.iterdir())


def elsewhere(claim: str = "theirs") -> Holder:
    """A process of another machine."""
    here = Holder.of_this_process()
    there = replace(here, boot="another", host="node7", pid=41, job="Slurm job 9_3")
    return replace(there, claim=claim, worker="w")


def lives_holding(path: Path) -> int:
    """The id of a process that holds a lease until it is killed; whoever asks waits for it."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        with leases.claimed(path):
            os.write(theirs, b"x")
            time.sleep(60)
            os._exit(0)
    os.read(ours, 1)
    return pid


def dies_holding(path: Path) -> Holder:
    """The holder of a lease whose process was killed."""

    def hold() -> None:
        with leases.claimed(path) as mine:
            os._exit(0 if mine else 1)

    child = FORK.Process(target=hold)
    child.start()
    child.join()
    found = look(path)
    assert child.exitcode == 0 and found is not None and found.holder is not None
    return found.holder
