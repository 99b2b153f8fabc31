"""Looking on from where a run was typed, while workers elsewhere compute its cells.

What is asked is the output folder only: records and logs say what has ended, claims who is at what.
An engine's own states are not asked for, since many sites keep none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from promptbench.errors import RunError
from promptbench.planning.cells import Cell
from promptbench.running import failures
from promptbench.running.afterwards import Heard
from promptbench.running.executor import Work
from promptbench.support.prose import counted
from promptbench.support.stopping import Stopped
from promptbench.workers.looking_on import holders, showing, standing
from promptbench.workers.looking_on.cancelling import refuse_cancelled
from promptbench.workers.plan.orders import Order
from promptbench.workers.plan.places import REFUSALS

_PAUSE = 2.0  # seconds between looks


def watch(work: Work, order: Order, alive: Callable[[], str | None]) -> None:
    """Return when each cell of the work has its record or its log; listeners hear of each.

    Args:
        alive: None while the engine has workers or may still start some; else why it has none.

    Raises:
        RunError: cells are left, and no worker is, or the plan was cancelled.
        Stopped: a signal; the workers go on, and the sentence says how to look at them again.
    """
    heard, out = Heard(work.listener), work.machine.out
    words: set[Path] = set()
    left = list(work.cells)
    try:
        while left:
            gone = alive()  # first: who ends after this look has left a record
            ended = [cell for cell in left if _has_ended(cell, out)]
            heard.tell_the_rest(ended, out)
            left = [cell for cell in left if cell not in ended]
            now = standing.of_cells(out, order.cells, holders.holders, holders.attempts)
            work.listener.watched(now.seconds_left, showing.in_short(now))
            for path in sorted((order.folder / REFUSALS).glob("*.txt")):
                if path not in words:
                    words.add(path)
                    work.listener.message(path.read_text(encoding="utf-8").strip())
            if left:
                refuse_cancelled(order.folder, len(left))
            if left and gone is not None:
                raise RunError(
                    f"{counted(len(left), 'cell')} left and no worker: {gone}; the same command "
                    "goes on from here"
                )
            if left:
                time.sleep(_PAUSE)
    except Stopped as stop:
        stop.remedy = (
            f"the workers go on: `promptbench status {out}` shows them, `promptbench cancel {out}` "
            "ends them"
        )
        raise


def _has_ended(cell: Cell, out: Path) -> bool:
    return cell.is_done(out) or failures.reason_of(cell, out) is not None
