"""What happens in another process, reported to a listener in this one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from promptbench.support.progress import Task
from promptbench.tracking.listener import Epoch, Gathered, Listener

if TYPE_CHECKING:
    from promptbench.planning.cells import Cell
    from promptbench.records import Record


class Reports(Protocol):
    """Where events go: a pipe to the parent, or something like it."""

    def send(self, report: Any, /) -> None:
        """Send an event's name with its facts."""


class Remote(Listener):
    """The working process's side: sends events through a pipe. A parent that is gone hears nothing.

    Plans and waiting are the parent's own affair, and whether it `wants_norms` is too.
    """

    def __init__(self, reports: Reports, wants_norms: bool = False) -> None:
        self._reports, self._lock = reports, threading.Lock()
        self.wants_norms = wants_norms
        self._tasks = 0

    def _send(self, event: str, *facts: Any) -> None:
        with self._lock, suppress(ConnectionError):  # the parent is gone, as this process will be
            self._reports.send((event, facts))

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[Task]:
        self._tasks += 1
        task = _RemoteTask(self, self._tasks)
        self._send("task", task.number, label, total, unit)
        try:
            yield task
        finally:
            task.flush()
            self._send("task_ended", task.number)

    def advanced(self, number: int, count: int, note: str) -> None:
        self._send("advance", number, count, note)

    def message(self, text: str) -> None:
        self._send("message", text)

    def cell_started(self, cell: Cell) -> None:
        self._send("cell_started", cell.id)

    def training_resumed(self, cell: Cell, epochs: Sequence[Epoch]) -> None:
        self._send("training_resumed", cell.id, epochs)

    def epoch_ended(self, cell: Cell, epoch: Epoch) -> None:
        self._send("epoch_ended", cell.id, epoch)

    def cell_ended(self, cell: Cell, record: Record) -> None:
        self._send("cell_ended", cell.id, record)

    def cell_failed(self, cell: Cell, reason: str, log: Path) -> None:
        self._send("cell_failed", cell.id, reason, log)


class _RemoteTask(Gathered):
    def __init__(self, remote: Remote, number: int) -> None:
        super().__init__()
        self._remote, self.number = remote, number

    def passed_on(self, count: int, note: str) -> None:
        self._remote.advanced(self.number, count, note)


class Receiver:
    """The parent's side of one process: passes its events on; `cell` is the one it computes."""

    def __init__(self, listener: Listener, cells: Mapping[str, Cell]) -> None:
        self._listener, self._cells = listener, cells
        self._tasks: dict[int, tuple[AbstractContextManager[Task], Task]] = {}
        self.cell: Cell | None = None

    def take(self, event: str, facts: tuple[Any, ...]) -> None:
        """An event as `Remote` sent it."""
        match event, facts:
            case "task", (number, label, total, unit):
                context = self._listener.task(self._whose(label), total, unit)
                self._tasks[number] = (context, context.__enter__())
            case "advance", (number, count, note):
                self._tasks[number][1].advance(count, note)
            case "task_ended", (number,):
                self._tasks.pop(number)[0].__exit__(None, None, None)
            case "message", (text,):
                self._listener.message(text)
            case name, (identifier, *rest):
                cell = self._cells[identifier]
                self.cell = cell if name not in ("cell_ended", "cell_failed") else None
                getattr(self._listener, name)(cell, *rest)

    def _whose(self, label: str) -> str:
        """A task's label with its cell, which is one of several here."""
        if self.cell is None or self.cell.label in label:
            return label
        return f"{label}, {self.cell.label}"

    def close(self) -> None:
        """End the tasks of a process that has ended."""
        for context, _ in self._tasks.values():
            context.__exit__(None, None, None)
        self._tasks.clear()
