"""A tracker never costs a result: what it raises, changes, draws and waits for stays its own."""

from __future__ import annotations

import random
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from promptbench.errors import OutputError, UserError
from promptbench.support import stopping
from promptbench.support.progress import Task
from promptbench.tracking import Epoch, Listener, Listeners, Tracker, TrackerOptions, guarding
from promptbench.tracking.guarding import Guarded

CELL: Any = SimpleNamespace(label="a cell", recipe={"lr": 0.1})
EVENTS: dict[str, tuple[Any, ...]] = {
    "planned": (SimpleNamespace(cells=[CELL]),),
    "cell_started": (CELL,),
    "training_resumed": (CELL, []),
    "epoch_ended": (CELL, Epoch(0, 0.1, {"total": 1.0}, {})),
    "cell_ended": (CELL, SimpleNamespace(targets=[1])),
    "cell_failed": (CELL, "why", Path("log")),
    "waiting": (2,),
    "message": ("text",),
    "close": (),
}
OPTIONS = TrackerOptions()


class Heard(Tracker):
    """Keeps the names of what it hears."""

    title = "Heard"

    def __init__(self, out: Path = Path(), options: TrackerOptions = OPTIONS) -> None:
        super().__init__(out, options)
        self.events: list[str] = []
        for event in EVENTS:
            setattr(self, event, lambda *_, event=event: self.hear(event, *_))

    def hear(self, event: str, *facts: Any) -> None:
        self.events.append(event)

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[Task]:
        self.events.append("task")
        tracker = self

        class Advance(Task):
            def advance(self, count: int = 1, note: str = "") -> None:
                tracker.hear("advance", count)

        yield Advance()
        self.events.append("task ended")


class Panic(BaseException):
    """What extensions in Rust raise."""


class Failing(Heard):
    """Raises an error at one event."""

    remedy = "it can be sent later"

    def __init__(self, at: str, error: BaseException | None = None) -> None:
        super().__init__()
        self._at, self._error = at, error or OSError(28, "No space left on device")

    def hear(self, event: str, *facts: Any) -> None:
        super().hear(event)
        if event == self._at:
            raise self._error


def tell(listener: Listener) -> None:
    """Let a listener hear everything, ending with `close`."""
    *before, close = EVENTS
    for event in before:
        getattr(listener, event)(*EVENTS[event])
    with listener.task("fit", 3, "steps") as task:
        for _ in range(3):
            task.advance(1, "note")
    getattr(listener, close)()


@pytest.mark.parametrize("event", [*EVENTS, "advance"])
@pytest.mark.parametrize(
    "error", [None, OutputError("disk"), SystemExit(3), Panic()], ids=lambda e: repr(e)
)
def test_a_tracker_that_fails_is_left_out_and_the_others_go_on(
    event: str, error: BaseException | None
) -> None:
    failing, other = Failing(event, error), Heard()
    both = Listeners([Guarded("failing", lambda: failing), Guarded("other", lambda: other)])
    with pytest.warns(UserWarning) as warned:
        tell(both)
    (said,) = (str(warning.message) for warning in warned)
    assert said.startswith(f"the tracker failing failed in {event} (")
    assert said.endswith("; the run goes on without it, and it can be sent later")
    heard = [*list(EVENTS)[:-1], "task", "advance", "task ended", "close"]
    assert other.events == heard
    assert failing.events.count(event) == 1 and failing.events[-1] == "close"
    ends = {"close"} | ({"task ended"} if event == "advance" else set())
    assert set(failing.events) - set(heard[: heard.index(event) + 1]) == ends - {event}


def test_a_tracker_that_cannot_be_made_is_left_out_and_one_that_refuses_is_heard() -> None:
    def broken() -> Tracker:
        raise RuntimeError("no such\n\x1b[31mport")

    with pytest.warns(
        UserWarning, match=r"failed in __init__ \(RuntimeError: no such .\[31mport \(test"
    ):
        tell(Guarded("broken", broken))

    def refusing() -> Tracker:
        raise UserError("pip install it")

    with pytest.raises(UserError, match="pip install it"):
        Guarded("refusing", refusing)


def test_a_task_is_left_with_the_error_that_ends_it_and_with_no_other() -> None:
    left: list[Any] = []

    class Leaving(Heard):
        @contextmanager
        def task(self, label: str, total: int, unit: str) -> Iterator[Task]:
            try:
                yield Task()
                left.append(None)
            except RuntimeError as error:
                left.append(error)
                raise OSError("another") from error

    guarded = Guarded("leaving", Leaving)
    try:
        raise ValueError("handled here")
    except ValueError:
        with guarded.task("fit", 1, "steps"):
            pass
    error = RuntimeError("the cell's")
    with (
        pytest.raises(RuntimeError) as raised,
        pytest.warns(UserWarning, match=r"failed in task \(OSError: another"),
        guarded.task("fit", 1, "steps"),
    ):
        raise error
    assert raised.value is error and left == [None, error]


@pytest.mark.parametrize("number", [2, 15])
def test_a_signal_passes_through_a_tracker_and_closes_the_others(number: int) -> None:
    stopped = stopping._stopped(number)
    first, failing, last = trackers = (Heard(), Failing("close", stopped), Heard())
    together = Listeners([Guarded(f"{n}", lambda n=n: trackers[n]) for n in range(3)])
    with pytest.raises(stopping.Stopped):
        tell(together)
    assert all(each.events[-1] == "close" for each in (first, failing, last))


@pytest.mark.filterwarnings("error")
def test_a_failure_costs_nothing_where_warnings_are_errors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell(Guarded("failing", lambda: Failing("cell_started")))
    assert "note: the tracker failing failed in cell_started" in capsys.readouterr().err


def test_the_same_failure_is_said_in_every_run() -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        for _ in range(2):
            tell(Guarded("failing", lambda: Failing("message")))
    assert len(warned) == 2


class Changing(Heard):
    """Changes whatever it receives, and draws."""

    def hear(self, event: str, *facts: Any) -> None:
        for fact in facts:
            if isinstance(fact, Epoch):
                fact.losses.clear()  # type: ignore[attr-defined]
            for name in ("recipe", "targets", "cells"):
                getattr(fact, name, []).clear()
        random.random(), np.random.rand(), torch.rand(1)


def test_what_a_tracker_changes_is_its_own() -> None:
    tell(Guarded("changing", Changing))
    assert CELL.recipe == {"lr": 0.1}
    assert EVENTS["planned"][0].cells == [CELL] and EVENTS["cell_ended"][1].targets == [1]
    assert EVENTS["epoch_ended"][1].losses == {"total": 1.0}


def test_what_a_tracker_draws_within_a_training_changes_no_number() -> None:
    def drawn(tracker: type[Tracker]) -> list[float]:
        torch.manual_seed(1), np.random.seed(1), random.seed(1)
        with Guarded("drawing", tracker).task("fit", 1, "steps") as task:  # type: ignore[arg-type]
            task.advance(1)
        return [random.random(), np.random.rand(), torch.rand(1).item()]

    assert drawn(Changing) == drawn(Heard)


@pytest.mark.parametrize("slow", [True, False])
def test_only_a_tracker_that_takes_long_to_close_is_announced(
    monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    said, announced = [], threading.Event()

    def say(text: str) -> None:
        said.append(text.partition(";")[0])
        announced.set()

    class Slow(Heard):
        def hear(self, event: str, *facts: Any) -> None:
            assert event != "close" or not slow or announced.wait(30)

    monkeypatch.setattr(guarding, "_PATIENCE", 0.01 if slow else 2.0)
    monkeypatch.setattr(guarding, "_say", say)
    before = threading.active_count()
    Guarded("slow", Slow).close()
    assert said == (["the tracker slow takes its time to close"] if slow else [])
    assert threading.active_count() == before
