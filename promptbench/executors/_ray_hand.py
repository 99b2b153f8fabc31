"""A worker as the driver sees it: its actor, what it is asked, what it hears of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from promptbench.executors import _ray_engine as engine
from promptbench.executors._ray_shares import Slot
from promptbench.planning.cells import Cell
from promptbench.running.training.folder import files_of
from promptbench.support.progress import Task as Progress
from promptbench.tracking import Listeners
from promptbench.tracking.listener import Listener, Relay
from promptbench.tracking.remote import Receiver
from promptbench.workers.handing_out import hand, parcels
from promptbench.workers.handing_out.board import Task

LOOK, START, EVENTS = "look", "start", "events"  # an actor's methods
_POLL, _IDLE_POLL = 5.0, 1.0  # seconds that an actor waits for news


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


def as_sent(event: str, facts: list[Any]) -> tuple[Any, ...]:
    """An event's facts, as listeners take them."""
    if event == "epoch_ended":
        return (facts[0], hand.epoch_of(facts[1]))
    if event == "training_resumed":
        return (facts[0], [hand.epoch_of(each) for each in facts[1]])
    return tuple(facts)
