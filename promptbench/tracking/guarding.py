"""A tracker that cannot harm the run that it hears of, whatever it does."""

from __future__ import annotations

import copy
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

from promptbench.errors import UserError, one_line
from promptbench.support.progress import Task
from promptbench.support.safe_text import shortened, visible
from promptbench.support.seeding import undisturbed
from promptbench.support.stopping import Stopped, refuse_wrapped
from promptbench.tracking.listener import Gathered, Listener, Relay
from promptbench.tracking.tracker import Tracker

_SIGNALS = (
    Stopped,
    KeyboardInterrupt,
    GeneratorExit,
)  # they end the run; all else is the tracker's
_PATIENCE = 10.0  # seconds that a tracker may take to close before the user reads why it takes long


class Guarded(Relay):
    """Hands on what it hears to a tracker, until that fails: then one sentence says so.

    The tracker receives copies, and what it draws from random generators is taken back.

    Args:
        name: the tracker's.
        make: makes it.

    Raises:
        UserError: the tracker refuses to be made.
    """

    def __init__(self, name: str, make: Callable[[], Tracker]) -> None:
        self._name, self._failed = name, False
        self._tracker: Listener = Listener()  # of one that could not be made
        self._remedy = ""
        try:
            made = make()
            self._tracker, self._remedy, self.wants_norms = made, made.remedy, made.wants_norms
        except (UserError, *_SIGNALS):
            raise
        except BaseException as error:  # so are panics of extensions, and sys.exit
            refuse_wrapped(error)
            self._give_up("__init__", error)

    def hand_on(self, event: str, *facts: Any) -> None:
        if not self._failed:
            with self._caught(event):
                getattr(self._tracker, event)(*copy.deepcopy(facts))

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[Task]:
        with ExitStack() as stack:
            task = Task()
            if not self._failed:
                with self._caught("task"):
                    context = self._tracker.task(label, total, unit)
                    task = context.__enter__()
                    stack.push(partial(self._leave, context))
            guarded = _GuardedTask(self, task)
            stack.callback(guarded.flush)
            yield guarded

    def _leave(self, context: AbstractContextManager[Task], *error: Any) -> None:
        with self._caught("task"):
            context.__exit__(*error)

    def advance(self, task: Task, count: int, note: str) -> None:
        """Hand the progress of a task on, in the middle of what its generators are for."""
        if not self._failed:
            with undisturbed(), self._caught("advance"):
                task.advance(count, note)

    def close(self) -> None:
        """Close the tracker, also one that has failed; one that takes long is announced."""
        text = (
            f"the tracker {self._name} takes its time to close; every finished cell has its "
            "record, and Ctrl-C ends the wait"
        )
        timer = threading.Timer(_PATIENCE, _say, [text])
        timer.daemon = True
        timer.start()
        try:
            with self._caught("close"):
                self._tracker.close()
        finally:
            timer.cancel()
            timer.join()  # a run leaves no thread

    @contextmanager
    def _caught(self, event: str) -> Iterator[None]:
        try:
            yield
        except _SIGNALS:
            raise
        except BaseException as error:
            refuse_wrapped(error)
            self._give_up(event, error)

    def _give_up(self, event: str, error: BaseException) -> None:
        if self._failed:  # has been said
            return
        self._failed = True
        why = visible(shortened(one_line(error), 200))
        later = f", and {self._remedy}" if self._remedy else ""
        _say(
            f"the tracker {self._name} failed in {event} ({why}); the run goes on without it{later}"
        )


class _GuardedTask(Gathered):
    def __init__(self, guarded: Guarded, task: Task) -> None:
        super().__init__()
        self._guarded, self._task = guarded, task

    def passed_on(self, count: int, note: str) -> None:
        self._guarded.advance(self._task, count, note)


def _say(text: str) -> None:
    """Warn each time, also with what another run of this process has warned of."""
    try:
        warnings.warn_explicit(text, UserWarning, "promptbench", 0)
    except UserWarning:  # where warnings are errors: this one must not become the run's
        print(f"note: {text}", file=sys.stderr)
