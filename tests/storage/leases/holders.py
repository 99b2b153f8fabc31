"""Holders that died or live on another machine, and what they left behind."""

from __future__ import annotations

import multiprocessing
import os
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
    there = {"boot": "another", "host": "node7", "pid": 41, "job": "Slurm job 9_3"}
    return replace(Holder.of_this_process(), claim=claim, worker="w", **there)  # type: ignore[arg-type]


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
