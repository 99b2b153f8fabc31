"""Processes beside this one that take a share of work whose pieces do not hang on each other.

They are started anew and import the main program, as `multiprocessing` does it, so that commands
have them and Python code does not by itself. They end with this process, whatever ends it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path

from promptbench.core import registry
from promptbench.support import allotted

DIED = "a process beside this one has died (of too little memory?); going on in this one only"
_SPAWN = multiprocessing.get_context("spawn")  # threads do not outlive a fork
_BYTES = 2**30  # of a process, with torch


def most() -> int:
    """How many processes this machine has cores and memory for; 1 if it is better to have none."""
    return max(1, min(allotted.cores(), allotted.memory() // _BYTES))


@contextmanager
def started(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Give the block a pool of processes that know the plugin files of this one; each computes in
    one thread. What has not begun when the block ends is left."""
    files = tuple(registry.files())
    pool = ProcessPoolExecutor(processes, _SPAWN, initializer=_begin, initargs=(files,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def end_with_the_parent() -> None:
    """Wait for the process that has started this one to end, and end then."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _begin(files: tuple[Path, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=end_with_the_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"  # nothing that computes has been imported yet
    registry.add_files(files)
