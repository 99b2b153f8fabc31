"""Writing the toy dataset in a process that a test can have killed, by tests.faults.driver."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promptbench.data.shards import shards, writing
from promptbench.support.progress import Task
from promptbench.tracking import Listener
from tests.data import toy


class _Killer(Listener, Task):
    """Kills this process after so many samples; never with -1."""

    def __init__(self, samples: int) -> None:
        self._left = samples

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[Task]:
        yield self

    def advance(self, count: int = 1, note: str = "") -> None:
        self._left -= count
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def write(folder: Path, samples: int = -1) -> None:
    """Write it, and end by SIGKILL after so many samples."""
    shards.SAMPLES_PER_SHARD = 10
    writing.write(toy.card(), folder, toy.source(), writing.WritingOptions(), _Killer(samples))
