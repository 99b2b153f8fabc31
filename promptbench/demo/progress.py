"""Progress of pretraining: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Protocol, Self, TypeVar

from rich import progress

_LINE_EVERY = 15.0  # seconds


class _Sized(Protocol):
    def __len__(self) -> int: ...


class _Recipe(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def steps(self) -> int: ...


_Chunk = TypeVar("_Chunk", bound=_Sized)


class Progress:
    """Shows how far each job is, its rate and the time that is left."""

    def __init__(self) -> None:
        self._bars = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[rate]}"),
            progress.TimeRemainingColumn(),
        )
        self._tasks: dict[str, progress.TaskID] = {}
        self._started: dict[str, float] = {}
        self._spoke = 0.0

    def __enter__(self) -> Self:
        if self._bars.console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def counting(self, job: str, chunks: Iterable[_Chunk], total: int) -> Iterator[_Chunk]:
        """Pass chunks on and count what is in them."""
        done = 0
        self._started[job] = time.monotonic()
        for chunk in chunks:
            done += len(chunk)
            self._show(job, done, total, "")
            yield chunk

    def __call__(self, recipe: _Recipe, step: int, loss: float) -> None:
        """Report a training step."""
        self._show(recipe.name, step, recipe.steps, f"loss {loss:.3f}")

    def _show(self, job: str, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        seconds = now - self._started.setdefault(job, now)
        rate = done / seconds if seconds > 0 else 0.0
        if self._bars.console.is_terminal:
            if job not in self._tasks:
                self._tasks[job] = self._bars.add_task(job, total=total, rate="")
            self._bars.update(self._tasks[job], completed=done, rate=f"{rate:.1f}/s {note}")
        elif done == total or now - self._spoke > _LINE_EVERY:
            self._spoke = now
            left = (total - done) / rate if rate else 0.0
            print(f"{job}: {done}/{total}, {rate:.1f}/s, {left:.0f} s left {note}", flush=True)
