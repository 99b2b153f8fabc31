"""What the user sees: bars at the foot of a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import TaskID

from promptbench.records import TRIAL, scores
from promptbench.support.progress import Task
from promptbench.support.prose import counted, say
from promptbench.support.safe_text import visible
from promptbench.tracking.display import Display, ShownRun, clock, times
from promptbench.tracking.listener import Epoch, Listener
from promptbench.tracking.outlook import Outlook

if TYPE_CHECKING:
    from promptbench.planning.cells import Cell
    from promptbench.planning.plan import Plan
    from promptbench.records import Record

_PLAIN_EVERY = 15.0  # seconds between progress lines when the output is not a terminal
_LOOK_EVERY = 0.25  # between two estimates of what is left, which look at all cells


class _Bar(Task):
    def __init__(self, display: Display, number: TaskID) -> None:
        self._display, self._number = display, number

    def advance(self, count: int = 1, note: str = "") -> None:
        self._display.update(self._number, advance=count, note=note)


class _Lines(Task):
    """Progress as lines: now and then how far and how long, and at the end what it took."""

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
        elapsed = now - self._started
        left = max(self._total - self._done, 0) * elapsed / max(self._done, 1)
        far = f"{self._done}/{self._total} {self._unit}"
        self._say(", ".join(filter(None, (far, times(elapsed, left), note))))

    def finish(self) -> None:
        self._say(_took(self._done, self._unit, time.monotonic() - self._started))

    def _say(self, text: str) -> None:
        say(self._console, f"{self._label}: {text}")


def _took(count: float, unit: str, seconds: float) -> str:
    one = unit.removesuffix("s") if f"{count:.0f}" == "1" else unit
    return f"{count:.0f} {one} in {f'{seconds:.1f} s' if seconds < 60 else clock(seconds)}"


def _accuracies(record: Record) -> dict[str, float]:
    """The accuracies of all targets; of a trial, which has none, that on validation images."""
    held_out = record.validation
    if record.is_trial and held_out is not None and held_out.chosen is not None:
        return {f"{record.leg.source.key}, validation": held_out.chosen}
    return scores.per_target(record)


@dataclass
class _Planned:
    """What one line says of plans: how many cells they have, and how many are to be computed."""

    head: str
    out: Path
    cells: int = 0
    pending: int = 0

    def __str__(self) -> str:
        done = self.cells - self.pending
        cells = counted(self.cells, "cell")
        return f"{self.head}: {cells}, {done} done, {self.pending} to compute -> {self.out}"


class Terminal(Listener):
    """Progress and messages on stderr, so that stdout holds results only.

    Trials of a search pass without lines of their own: what they come to is a table at its end.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._moving = self._console.is_terminal and not self._console.is_dumb_terminal
        self._outlook, self._looked = Outlook(), 0.0
        self._watched: tuple[float | None] | None = None  # what others say that the rest takes
        self._began, self._said = time.monotonic(), -_PLAIN_EVERY
        self._numbers: dict[str, int] = {}  # of the cells that were started
        self._running: set[str] = set()
        self._parallel = False
        self._display: Display | None = None
        self._run: ShownRun | None = None  # while cells are computed
        self._open = 0  # tasks that the display shows
        self._announced = False
        self._planned: dict[str, _Planned] = {}  # by the head of its line, until that is said
        self._left_out: dict[str, None] = {}  # methods, until that is said
        self._trials: bool | None = None  # whether nothing but trials is planned

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[Task]:
        self._say_planned()
        if not self._moving:
            if self._quiet:
                yield Task()
                return
            lines = _Lines(self._console, label, total, unit)
            yield lines
            lines.finish()
            return
        display = self._shown()
        self._open += 1
        number = display.add_task(visible(label), total=total, unit=unit, note="")
        try:
            yield _Bar(display, number)
            (task,) = [task for task in display.tasks if task.id == number]
            took = _took(task.completed, unit, task.elapsed or 0.0)
            if not self._quiet:
                say(self._console, f"{label}: {took}", style="dim")
        finally:
            self._open -= 1
            display.remove_task(number)
            if not self._open and self._run is None:
                self._hide()

    def _shown(self) -> Display:
        """One display for all tasks that run at the same time, and for the run."""
        if self._display is None:
            self._display = Display(self._console)
            self._display.start()
        self._display.run = self._run
        return self._display

    def _hide(self) -> None:
        if self._display is not None:
            self._display.stop()
        self._display = None

    def message(self, text: str) -> None:
        self._say_planned()
        say(self._console, visible(text))

    def planned(self, plan: Plan) -> None:
        if plan.suite.banner and not self._announced:
            say(self._console, plan.suite.banner, style="yellow")
        self._announced = True
        pending = plan.pending()
        self._outlook.plan(pending)
        trials = all(cell.preset == TRIAL for cell in plan.cells)
        self._trials = trials and self._trials is not False
        head = plan.protocol.title + (", trials" if trials else "")
        line = self._planned.setdefault(head, _Planned(head, plan.out))
        line.cells += len(plan.cells)
        line.pending += len(pending)
        self._left_out.update(dict.fromkeys(plan.left_out))
        if self._moving and pending:
            self._run = self._run or ShownRun()
            self._shown()
            self._look_ahead()

    def _say_planned(self) -> None:
        """Say what is planned, a line for each protocol, before anything else is said."""
        planned, self._planned = self._planned, {}
        for line in planned.values():
            say(self._console, visible(str(line)))
        left_out, self._left_out = self._left_out, {}
        if left_out:
            say(self._console, visible(f"left out: {'; '.join(left_out)}"))

    @property
    def _quiet(self) -> bool:
        """Whether what is done now belongs to a trial."""
        return bool(self._trials and self._running)

    def cell_started(self, cell: Cell) -> None:
        self._say_planned()
        number = self._numbers.setdefault(cell.id, len(self._numbers) + 1)
        self._running.add(cell.id)
        self._parallel |= len(self._running) > 1
        line = f"cell {number}/{self._outlook.total} {cell.label}"
        before = self._outlook.done
        self._outlook.started(cell)
        if before and not self._moving:
            far = times(self._elapsed(), self._left())
            line += f" ({before} done, {far})"
        if not self._trials:
            say(self._console, line, style="bold")
        self._look_ahead()

    def epoch_ended(self, cell: Cell, epoch: Epoch) -> None:
        self._outlook.epoch_ended(cell, epoch.number)
        if time.monotonic() - self._looked > _LOOK_EVERY:
            self._look_ahead()

    def cell_ended(self, cell: Cell, record: Record) -> None:
        values = ", ".join(f"{key} {v:.1f}" for key, v in _accuracies(record).items())
        whose = f"{cell.label}: " if self._parallel else ""
        self._running.discard(cell.id)
        self._outlook.ended(cell)
        if self._trials:
            self._say_how_far()
        else:
            self.message(f"  {whose}{values}")
        self._look_ahead()

    def cell_failed(self, cell: Cell, reason: str, log: Path) -> None:
        self._running.discard(cell.id)
        self._outlook.ended(cell, failed=True)
        text = f"{cell.label} failed: {visible(reason)}\n  log: {log}"
        say(self._console, text, style="red")
        self._look_ahead()

    def _look_ahead(self) -> None:
        self._looked = time.monotonic()
        if self._run is not None:
            self._run.update(self._outlook.total, self._outlook.done, self._left())

    def _left(self) -> float | None:
        """Seconds until the run is done: where others compute, as is told from outside."""
        return self._outlook.left() if self._watched is None else self._watched[0]

    def _elapsed(self) -> float:
        """Seconds since the first cell began, or since the others are watched."""
        if self._watched is None:
            return self._outlook.elapsed
        return time.monotonic() - self._began

    def watched(self, left: float | None, note: str) -> None:
        self._watched = (left,)
        if self._run is not None:
            self._run.note = note
        self._look_ahead()
        self._say_how_far(note)

    def _say_how_far(self, note: str = "") -> None:
        """Say now and then, where no bar does, how many cells are done."""
        if not self._moving and time.monotonic() - self._said >= _PLAIN_EVERY:
            self._said = time.monotonic()
            far = f"{self._outlook.done}/{self._outlook.total} cells done"
            said = (far, times(self._elapsed(), self._left()), note)
            self.message(", ".join(filter(None, said)))

    def waiting(self, count: int) -> None:
        cells = "cell is" if count == 1 else f"{count} cells are"
        self.message(f"the last {cells} being computed by other processes; waiting")

    def close(self) -> None:
        self._say_planned()
        self._run = None
        self._hide()
