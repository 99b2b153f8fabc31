"""Processes beside this one that take a share of work whose pieces do not hang on each other.

They import the main program again, as `multiprocessing` has it, so that commands have them and
Python code does not by itself. They end with this process, whatever ends it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from promptbench.support import allotted, garbage, stopping
from promptbench.support.surroundings import only_show_warnings

GONE = "going on in this process only"
DIED = f"a process beside this one has died; {GONE}"
_SPAWN = multiprocessing.get_context("spawn")  # threads do not outlive a fork
_BYTES = 2**30  # of a process, with torch
_MOST = 16  # beyond them the one that they work for is what takes the time


def most() -> int:
    """How many processes this machine has cores and memory for; 1 if it is better to have none, as
    elsewhere than on Linux, where they were never tried."""
    if sys.platform != "linux":
        return 1
    return max(1, min(allotted.cores(), allotted.memory() // _BYTES, _MOST))


def _nothing() -> None: ...


@dataclass(frozen=True)
class Crew:
    """How many processes there may be, and what each of them does first; one is only this one."""

    processes: int = 1
    prepare: Callable[[], object] = _nothing

    @contextmanager
    def started(self, most: int) -> Iterator[ProcessPoolExecutor]:
        """Give the block a pool of `most` processes, or fewer; each computes in one thread. What
        has not begun when the block ends is left.

        Raises:
            OSError: the system has no room for them.
        """
        initial = (self.prepare, warnings.formatwarning)
        most = min(most, self.processes)
        pool = _Pool(most, _SPAWN, initializer=_begin, initargs=initial)
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


class _Pool(ProcessPoolExecutor):
    """Its processes, which start when work is handed over, hear of Ctrl-C not even then."""

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        with stopping.blocked():
            return super().submit(*args, **kwargs)


def end_with_the_parent() -> None:
    """Wait for the process that has started this one to end, and end then."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _begin(prepare: Callable[[], object], written: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    stopping.unblock()
    threading.Thread(target=end_with_the_parent, daemon=True).start()
    only_show_warnings()
    warnings.formatwarning = written  # as the parent spells them
    os.environ["OMP_NUM_THREADS"] = "1"  # before anything that computes is imported
    prepare()
    garbage.seek_seldom()
