"""How `promptbench work` ends, for the batch script that starts it again or does not.

0: nothing is left to this worker, or its plan was cancelled. 75: stopped with cells left, to be
started again. 2: it takes no part. 1: anything else, such as a time that was over before it had
begun, which starting it again would not change. Ctrl-C: 130, as everywhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promptbench.support import stopping
from promptbench.workers.looking_on.cancelling import is_cancelled
from promptbench.workers.working.span import Span

TRY_AGAIN = 75  # "temporary failure", as sysexits.h has it
_GO_ON = "what is finished is kept: start this worker again and it goes on"
_NO_TIME = "its time was over before it had begun with a cell: give workers more time"


@contextmanager
def ending(folder: Path, span: Span) -> Iterator[None]:
    """Give a signal that ends the block the exit code of a worker, and its sentence.

    Args:
        folder: that of the plan.
        span: the worker's time.
    """
    try:
        with stopping.only_once():
            yield
    except stopping.Stopped as stop:
        cancelled = is_cancelled(folder)
        stop.remedy = "what is finished is kept" if cancelled else _GO_ON
        if isinstance(stop, stopping.Ended):
            in_vain = not stop.begun and span.is_why(stop, time.time())
            if in_vain and not cancelled:
                stop.remedy = _NO_TIME
            stop.exit_code = 0 if cancelled else 1 if in_vain else TRY_AGAIN
            stop.code = stop.exit_code
        raise
