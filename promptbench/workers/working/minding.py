"""A thread of a worker that minds why it should end: its plan was cancelled, its time is over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from promptbench.support import stopping

_PAUSE = 3.0  # seconds between looks


@contextmanager
def minding(reason: Callable[[], str | None], pause: float = _PAUSE) -> Iterator[None]:
    """Ask this process to stop, as a signal would, once `reason` says why; inside the block only.

    Outside the main thread nothing is minded: the process is somebody else's.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    over = threading.Event()

    def mind() -> None:
        while not over.wait(pause):
            if (why := reason()) is not None:
                stopping.ask(why)
                return

    thread = threading.Thread(target=mind, name="minding", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
