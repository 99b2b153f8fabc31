"""A worker as the driver sees it: its actor, what it is asked, what it hears of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from promptbench.executors._ray import engine
from promptbench.executors._ray.shares import Slot
from promptbench.planning.cells import Cell
from promptbench.running.training.folder import files_of
from promptbench.storage import leases
from promptbench.storage.leases import LeaseLost
from promptbench.support.progress import Task as Progress
from promptbench.tracking import Listeners
from promptbench.tracking.listener import Listener, Relay
from promptbench.tracking.remote import Receiver
from promptbench.workers.handing_out import hand, parcels
from promptbench.workers.handing_out.board import Task

LOOK, START, EVENTS = "look", "start", "events"  # an actor's methods
_POLL, _IDLE_POLL = 5.0, 1.0  # seconds that an actor waits for news
_VISIBLE, _LOOK = 30.0, 0.5  # until a record must show that a node has written; between looks


class Placed(Relay):
    """Hands on what happens on a node, which labels of cells then name."""

    def __init__(self, listener: Listener, node: str) -> None:
        self._listener, self._node = listener, node
        self.wants_norms = listener.wants_norms

    def hand_on(self, event: str, *facts: Any) -> None:
        if event == "message":
            facts = (f"{self._node}: {facts[0]}",)
        elif facts and isinstance(facts[0], Cell):
            facts = (replace(facts[0], prefix=f"{self._node}: {facts[0].prefix}"), *facts[1:])
        getattr(self._listener, event)(*facts)

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[Progress]:
        with self._listener.task(f"{self._node}: {label}", total, unit) as task:
            yield task


@dataclass
class Worker:
    """A worker on Ray.

    `call` is what its actor has not answered yet (None: it is to be asked), and `stage` the method.
    """

    slot: Slot
    name: str  # unlike all others, for its answer to a token
    actor: Any
    receiver: Receiver
    stage: str = ""
    call: Any = None
    sends: bool = False  # it does not see the output folder
    trackers: Listeners | None = None  # those of its process, where it has none
    ready: bool = False
    idle: bool = False
    without: frozenset[str] = frozenset()  # cells whose data its node lacks
    task: Task | None = None
    asked: float = field(default_factory=time.monotonic)
    lost: float | None = None  # since when it does not answer
    _seen: int = 0
    _number: int = 0
    _given: dict[str, Any] | None = None
    _arguments: tuple[Any, ...] = ()

    @property
    def cell(self) -> Cell | None:
        """What it is at: the cell that it has begun, else the first that it was given."""
        begun = self.receiver.cell
        return begun or (self.task.cells[0] if self.task is not None else None)

    def ask(self, stage: str, *arguments: Any) -> None:
        """Call its actor; the call can be repeated."""
        self.stage, self._arguments = stage, arguments
        self.repeat()

    def repeat(self) -> None:
        """Make the last call again, whose answer was lost."""
        self.call = getattr(self.actor, self.stage).remote(*self._arguments)

    def listen(self) -> None:
        """Ask what happens, and give it what it is to compute."""
        self.ask(EVENTS, self._seen, _IDLE_POLL if self.idle else _POLL, self._given)

    def heard(self, count: int) -> None:
        """So many events have arrived."""
        self._seen += count

    def give(self, task: Task, out: Path) -> None:
        """Let it compute cells; one that does not see the folder gets what is trained already."""
        self.task, self.idle = task, False
        paths = files_of(task.cells[0], out) if self.sends else []
        self._number += 1
        self._given = {
            "number": self._number,
            "ids": [cell.id for cell in task.cells],
            "files": parcels.read(parcels.sums_of(paths, out), out),
        }

    def close(self) -> None:
        """End it at once, and what is shown of it."""
        self.receiver.close()
        if self.trackers is not None:
            self.trackers.close()
        engine.end(self.actor)


def reason_to_end(
    left: Mapping[str, Cell],
    workers: Sequence[Worker],
    *,
    free: int,
    given_up: Iterable[str],
    waited: float,
    most: float,
) -> str | None:
    """Why to wait no longer for workers, of which none computes; None: there is hope.

    Args:
        left: cells by their ids.
        free: places for which further workers are to come.
        given_up: why others are given up.
        waited, most: seconds without a worker at work, and how many are all right.
    """
    ready = [worker for worker in workers if worker.ready]
    if not left or any(left.keys() - worker.without for worker in ready):
        return None  # others are at these cells
    coming = free + len(workers) - len(ready)
    if coming and waited < most:
        return None
    if ready:
        return f" that no node can compute: {_what_lacks(left.values(), ready)}"
    if not coming and (why := "; ".join(dict.fromkeys(given_up))):
        return f" and no worker: {why}"
    if waited < most:
        return None
    return (
        f", and no worker came within {waited:.0f} s ([ray] wait in a machine profile); `ray "
        "status` shows what the cluster has free"
    )


def _what_lacks(left: Iterable[Cell], ready: Iterable[Worker]) -> str:
    names = dict.fromkeys(worker.slot.node.name for worker in ready)
    legs = [cell.leg for cell in left]
    needed = dict.fromkeys(
        name for leg in legs for name in (leg.source.dataset, *(t.dataset for t in leg.targets))
    )
    return f"they need {', '.join(needed)}, and {', '.join(names)} said what of it is not there"


def stored(
    cell: Cell, files: Mapping[str, bytes], sums: Mapping[str, str], out: Path
) -> str | None:
    """Store what a worker has sent of a cell; why not, in a sentence, if it cannot be kept."""
    try:
        leases.refuse_lost(out)
        parcels.store(cell, files, sums, out)
    except parcels.Spoiled as spoiled:
        return f"what came of {cell.label} is spoiled ({spoiled}); it is computed again"
    except LeaseLost as lost:
        return f"{cell.label}: {lost}; what came of it is not kept"
    return None


def shows(cell: Cell, out: Path) -> bool:
    """Whether a cell's record is here; network file systems may take their time."""
    limit = time.monotonic() + _VISIBLE
    while not cell.is_done(out):
        if time.monotonic() > limit:
            return False
        time.sleep(_LOOK)
    return True


def as_sent(event: str, facts: list[Any]) -> tuple[Any, ...]:
    """An event's facts, as listeners take them."""
    if event == "epoch_ended":
        return (facts[0], hand.epoch_of(facts[1]))
    if event == "training_resumed":
        return (facts[0], [hand.epoch_of(each) for each in facts[1]])
    return tuple(facts)
