"""What a method's code asks the interpreter for, seen through Python's audit events.

A method runs on the stack of its caller, which knows targets and labels. Python hides no object
from code that looks for it, but it reports who looks: at frames, at the heap, at tracing, at files.
While a `Watch` stands, an event is held against the method if its own code asked for it, in
whichever thread and however it came to run (a call, a property, `__del__`, a tensor's hook), or if
code that was made at run time did, inside a call into the method
(`promptbench.isolation.entering`). What torch, numpy and other libraries do for themselves is
theirs.

In a run what a rule names is refused; the contract (`promptbench.contract.spy`) has more rules and
collects. Compiled code that reads memory or files reports nothing: SECURITY.md names the limits.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from promptbench.errors import UserError
from promptbench.isolation.asking import Asker, ThreadState, code_of, state

# An event's arguments, and who asks -> what a method looks at; None if it is harmless.
Rule = Callable[[Sequence[Any], Asker], str | None]

_FRAMES = ("tb_frame", "gi_frame", "cr_frame", "ag_frame")
# Files in which a method would find what it is not given: labels, results, other methods' work.
_TELLING = re.compile(
    r"(?:^|/)(record\.json|training\.json|log\.jsonl|SHA256SUMS|index\.json"
    r"|[a-z]+\.manifest\.csv\.gz|[a-z]+-\d{6}\.tar|predictions/[^/]+\.csv\.gz)\Z"
)


class Refused(UserError):
    """A method looked at what it is not given."""


@dataclass(eq=False)
class Watch:
    """The rules that hold for one method's code.

    Args:
        title: the method, for messages.
        files: where its code lies (`code_of`).
        rules: by audit event.
        refuses: whether a look ends in an error where it is made; otherwise it is noted only.
    """

    title: str
    files: tuple[str, ...]
    rules: Mapping[str, Rule]
    refuses: bool = True
    found: list[str] = field(default_factory=list)

    def note(self, what: str) -> None:
        """Keep a finding, once."""
        if what not in self.found:
            self.found.append(what)

    def ask(self, rule: Rule, arguments: Sequence[Any], frame: FrameType) -> Refused | None:
        """Judge an event; the error if it is to be refused."""
        asker = Asker(self.files, frame)
        what = rule(arguments, asker)
        if what is None:
            return None
        self.note(what + asker.where())
        return self.error() if self.refuses else None

    def error(self) -> Refused:
        """The error that says what was looked at."""
        return Refused(
            f"{self.title} looks at {'; '.join(self.found)}. A method is given images, class names "
            "and a template; where it looks for more, its cell fails (`promptbench check` finds "
            "the places, SECURITY.md says what is promised)"
        )


_watches: list[Watch] = []
_installed = False


def look(what: str) -> Rule:
    """The rule of an event that is a look wherever a method's own code asks for it."""
    return lambda _, asker: what if asker.is_own() else None


def _attribute(arguments: Sequence[Any], asker: Asker) -> str | None:
    name = arguments[1]
    return f"a frame ({name})" if name in _FRAMES and asker.is_own() else None


def _results(arguments: Sequence[Any], asker: Asker) -> str | None:
    path = path_of(arguments[0])
    told = is_telling(path) and asker.is_behind()
    return f"a file of data or results ({path})" if told else None


# What can be refused wherever a method runs, because nothing that learns needs it.
SIGHT: Mapping[str, Rule] = {
    "sys._getframe": look("the call stack (sys._getframe)"),
    "sys._current_frames": look("the frames of all threads"),
    "sys._current_exceptions": look("the exceptions of all threads"),
    "object.__getattr__": _attribute,
    "gc.get_objects": look("the heap (gc.get_objects)"),
    "gc.get_referrers": look("the heap (gc.get_referrers)"),
    "gc.get_referents": look("the heap (gc.get_referents)"),
    "sys.settrace": look("every call, by tracing (sys.settrace)"),
    "sys.setprofile": look("every call, by profiling (sys.setprofile)"),
    "ctypes.cdata": look("memory (ctypes)"),
    "open": _results,
}


@contextmanager
def watched(cls: type, rules: Mapping[str, Rule] = SIGHT, refuses: bool = True) -> Iterator[Watch]:
    """Hold the rules for a method's code while the block runs.

    Raises:
        Refused: at the look, and at the end of the call in which it was made.
    """
    _install()
    watch = Watch(str(getattr(cls, "title", cls.__name__)), code_of(cls), rules, refuses)
    _watches.append(watch)
    try:
        yield watch
    finally:
        _watches.remove(watch)


@contextmanager
def entered() -> Iterator[None]:
    """Mark what runs inside the block, on this thread, as a call into a method.

    Raises:
        Refused: the method looked at what a standing watch refuses, and hid the error.
    """
    state.entered += 1
    try:
        yield
    finally:
        state.entered -= 1
    for watch in _watches:
        if watch.refuses and watch.found:
            raise watch.error()


def _install() -> None:
    """Install the hook, once in a process; Python offers no way to take one back."""
    global _installed
    if not _installed:
        sys.addaudithook(_hook)
        _installed = True


def _hook(
    event: str,
    arguments: tuple[Any, ...],
    watches: list[Watch] = _watches,
    state: ThreadState = state,
) -> None:
    if not watches or state.asking:
        return
    state.asking = True
    refusal = None
    try:
        for watch in watches:
            rule = watch.rules.get(event)
            if rule is not None:
                refusal = watch.ask(rule, arguments, sys._getframe(1)) or refusal
    finally:
        state.asking = False
    if refusal is not None:
        raise refusal


def is_telling(path: str) -> bool:
    """Whether a file, by its name, holds data or results of runs."""
    return _TELLING.search(path.replace(os.sep, "/")) is not None


def caller(depth: int) -> FrameType:
    """The frame `depth` calls above the caller's."""
    return sys._getframe(depth + 1)


def path_of(thing: Any) -> str:
    """The path that an event is about."""
    return os.fsdecode(thing) if isinstance(thing, str | bytes | os.PathLike) else str(thing)
