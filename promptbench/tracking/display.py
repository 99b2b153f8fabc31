"""Progress on a terminal: a line or two for each task, and one for the whole run, within its width.

`rich.progress` keeps the tasks and their speeds; what is drawn of them is decided here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from rich.console import Console, RenderableType
from rich.progress import Progress
from rich.progress import Task as RichTask
from rich.text import Text

_BAR = 24  # columns of a bar, at most
_SHORTEST = 6  # of one that is worth drawing
_PER_SECOND = 4  # how often it is drawn


def clock(seconds: float) -> str:
    """A duration as clocks show it: 0:07, 12:30, 1:02:03."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class ShownRun:
    """What is shown of a run of several cells; `left` is as of the moment when it was set."""

    def __init__(self) -> None:
        self.total = self.done = 0
        self.note = ""  # who is at it, where others are
        self._began = self._known = time.monotonic()
        self._left: float | None = None

    def update(self, total: int, done: int, left: float | None) -> None:
        """So many of all cells are done, and it takes so many seconds more (None: who knows)."""
        self.total, self.done, self._left = total, done, left
        self._known = time.monotonic()

    @property
    def times(self) -> str:
        """How long it has taken, and how much longer it takes."""
        now = time.monotonic()
        left = None if self._left is None else max(self._left - (now - self._known), 1.0)
        return times(now - self._began, left)


def times(elapsed: float, left: float | None) -> str:
    """Two durations with what they are."""
    rest = "" if left is None else f", about {clock(left)} left"
    return f"{clock(elapsed)} elapsed{rest}"


class Display(Progress):
    """The tasks that run, and below them the run that they belong to, if it has several cells."""

    def __init__(self, console: Console) -> None:
        self.run: ShownRun | None = None
        super().__init__(console=console, refresh_per_second=_PER_SECOND, transient=True)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The lines of all tasks, and of the run."""
        for task in self.tasks:
            yield from self._task(task)
        if self.run is not None and self.run.total > 1:
            done = f"{self.run.done}/{self.run.total} cells done"
            facts = [done, self.run.times, self.run.note]
            yield self._line("run", self.run.done / self.run.total, facts)

    def _task(self, task: RichTask) -> Iterator[Text]:
        """The task in one line, or below its label where they do not fit side by side."""
        unit = task.fields["unit"]
        total = f"/{task.total:.0f}" if task.total else ""
        facts = [f"{task.completed:.0f}{total} {unit}", _times(task), task.fields["note"]]
        share = task.completed / task.total if task.total else None
        label = Text(task.description)
        if label.cell_len + len("  ".join(facts)) + _SHORTEST + 4 > self.console.width:
            yield self._cut(label)
            yield self._line(" ", share, facts)
        else:
            yield self._line(task.description, share, facts)

    def _line(self, label: str, share: float | None, facts: list[str]) -> Text:
        """A label, a bar as long as there is room, and facts; the last ones are dropped first."""
        width = self.console.width
        shown = [fact for fact in facts if fact]
        while len(shown) > 1 and len(label) + 2 + len("  ".join(shown)) > width:
            shown.pop()
        text = "  ".join(shown)
        room = min(_BAR, width - len(label) - len(text) - 4)
        line = Text(f"{label} ")
        if share is not None and room >= _SHORTEST:
            line.append_text(self._bar(share, room)).append(" ")
        return self._cut(line.append(f" {text}"))

    def _bar(self, share: float, width: int) -> Text:
        plain = not self.console.encoding.startswith("utf")
        full, empty = ("#", "-") if plain else ("━", "━")
        count = round(min(max(share, 0.0), 1.0) * width)
        return Text.assemble((full * count, "bar.complete"), (empty * (width - count), "bar.back"))

    def _cut(self, line: Text) -> Text:
        line.no_wrap, line.overflow = True, "ellipsis"
        return line


def _times(task: RichTask) -> str:
    left = task.time_remaining if task.total else None
    return times(task.elapsed or 0.0, None if task.finished else left)
