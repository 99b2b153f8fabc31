"""How `promptbench work` ends, for the batch script that starts it again or does not.

0: nothing is left to this worker, or its plan was cancelled. 75: stopped with cells left, to be
started again. 2: it takes no part. 1: anything else. Ctrl-C: 130, as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promptbench.support import stopping
from promptbench.workers.looking_on.cancelling import is_cancelled

TRY_AGAIN = 75  # "temporary failure", as sysexits.h has it
_GO_ON = "what is finished is kept: start this worker again and it goes on"


@contextmanager
def ending(folder: Path) -> Iterator[None]:
    """Give a signal that ends the block the exit code of a worker, and its sentence.

    Args:
        folder: that of the plan.
    """
    try:
        with stopping.only_once():
            yield
    except stopping.Stopped as stop:
        cancelled = is_cancelled(folder)
        stop.remedy = "what is finished is kept" if cancelled else _GO_ON
        if isinstance(stop, stopping.Ended):
            stop.exit_code = 0 if cancelled else TRY_AGAIN
            stop.code = stop.exit_code
        raise
