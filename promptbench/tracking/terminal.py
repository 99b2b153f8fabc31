"""What the user sees: rich progress bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as RichTask
from rich.text import Text

from promptbench.progress import Task
from promptbench.prose import counted, say
from promptbench.safe_text import visible
from promptbench.tracking.listener import Listener

if TYPE_CHECKING:
    from promptbench.planning.plan import Cell, Plan
    from promptbench.records import Record

_PLAIN_EVERY = 15.0  # seconds between progress lines when the output is not a terminal


class _Rate(ProgressColumn):
    def render(self, task: RichTask) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} {task.fields['unit']}/s" if speed else "", style="cyan")


class _Bar(Task):
    def __init__(self, progress: Progress, number: object) -> None:
        self._progress, self._number = progress, number

    def advance(self, count: int = 1, note: str = "") -> None:
        self._progress.update(self._number, advance=count, note=note)  # type: ignore[arg-type]


class _Lines(Task):
    """Progress as lines: now and then how far, how fast, how long still."""

    def __init__(self, console: Console, label: str, total: int, unit: str) -> None:
        self._console, self._label, self._total, self._unit = console, label, total, unit
        self._done = 0
        self._started = self._last = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        self._done += count
        now = time.monotonic()
        if now - self._last < _PLAIN_EVERY:
            return
        self._last = now
        rate = self._done / max(now - self._started, 1e-9)
        left = (self._total - self._done) / max(rate, 1e-9)
        self._say(
            f"{self._done}/{self._total} {self._unit}, {rate:,.1f}/s, {left:.0f} s left {note}"
        )

    def finish(self) -> None:
        seconds = time.monotonic() - self._started
        self._say(f"{self._done} {self._unit} in {seconds:.1f} s")

    def _say(self, text: str) -> None:
        line = f"{self._label}: {text.rstrip()}"
        say(self._console, line)


class Terminal(Listener):
    """Progress and messages on stderr, so that stdout holds results alone."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._total = 0
        self._numbers: dict[str, int] = {}  # of the cells that were started
        self._running: set[str] = set()
        self._parallel = False
        self._progress: Progress | None = None
        self._open = 0  # tasks that it shows
        self._announced = False

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[Task]:
        if not self._console.is_terminal:
            lines = _Lines(self._console, label, total, unit)
            yield lines
            lines.finish()
            return
        progress = self._progress or self._started()
        self._open += 1
        try:
            yield _Bar(progress, progress.add_task(label, total=total, unit=unit, note=""))
        finally:
            self._open -= 1
            if not self._open:
                progress.stop()
                self._progress = None

    def _started(self) -> Progress:
        """One display for all tasks that run at the same time."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[note]}", style="dim"),
        )
        self._progress = Progress(*columns, console=self._console)
        self._progress.start()
        return self._progress

    def message(self, text: str) -> None:
        say(self._console, visible(text))

    def planned(self, plan: Plan) -> None:
        if plan.suite.banner and not self._announced:
            say(self._console, plan.suite.banner, style="yellow")
        self._announced = True
        pending = len(plan.pending())
        self._total += pending
        done = len(plan.cells) - pending
        cells = counted(len(plan.cells), "cell")
        text = f"{plan.protocol.title}: {cells}, {done} done, {pending} to compute"
        self.message(f"{text} -> {plan.out}")
        if plan.left_out:
            self.message(f"left out: {'; '.join(plan.left_out)}")

    def cell_started(self, cell: Cell) -> None:
        number = self._numbers.setdefault(cell.id, len(self._numbers) + 1)
        self._running.add(cell.id)
        self._parallel |= len(self._running) > 1
        self._console.print(
            f"[bold]cell {number}/{self._total}[/] {escape(cell.label)}", highlight=False
        )

    def cell_ended(self, cell: Cell, record: Record) -> None:
        accuracy = ", ".join(f"{t.key} {t.accuracy:.1f}" for t in record.targets)
        whose = f"{cell.label}: " if self._parallel else ""
        self._running.discard(cell.id)
        self.message(f"  {whose}{accuracy}")

    def cell_failed(self, cell: Cell, reason: str, log: Path) -> None:
        self._running.discard(cell.id)
        text = f"{cell.label} failed: {visible(reason)}\n  log: {log}"
        say(self._console, text, style="red")

    def waiting(self, count: int) -> None:
        cells = "cell is" if count == 1 else f"{count} cells are"
        self.message(f"the last {cells} being computed by other processes; waiting")
