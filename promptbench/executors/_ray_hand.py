"""A worker as the driver sees it: its actor, what it is asked, what it hears of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from promptbench.executors import _ray_engine as engine
from promptbench.executors._ray_shares import Slot
from promptbench.planning.cells import Cell
from promptbench.running.training.folder import files_of
from promptbench.support.progress import Task as Progress
from promptbench.tracking import Listeners
from promptbench.tracking.listener import Listener, Relay
from promptbench.tracking.remote import Receiver
from promptbench.workers import parcels
from promptbench.workers.board import Task

_POLL = 5.0  # seconds that an actor waits for news


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

    `call` is what its actor has not answered yet, and `stage` what that is: look, start or events.
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

    @property
    def cell(self) -> Cell | None:
        """What it is at: the cell that it has begun, else the first that it was given."""
        begun = self.receiver.cell
        return begun or (self.task.cells[0] if self.task is not None else None)

    def look(self, folder: str, token: str) -> None:
        """Ask whether it sees the folder."""
        self.stage, self.call = "look", self.actor.look.remote(folder, token, self.name)

    def start(self, sent: Any, **given: Any) -> None:
        """Let it start on an order."""
        self.stage, self.call = "start", self.actor.start.remote(sent, given)

    def listen(self) -> None:
        """Ask what happens."""
        self.stage, self.call = "events", self.actor.events.remote(_POLL)

    def give(self, task: Task, out: Any) -> None:
        """Let it compute cells; one that does not see the folder gets what is trained already."""
        self.task, self.idle = task, False
        paths = files_of(task.cells[0], out) if self.sends else []
        files = parcels.read(parcels.sums_of(paths, out), out)
        self.actor.give.remote([cell.id for cell in task.cells], files)

    def close(self) -> None:
        """End it at once, and what is shown of it."""
        self.receiver.close()
        if self.trackers is not None:
            self.trackers.close()
        engine.end(self.actor)
