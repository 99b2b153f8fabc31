"""Ending work when the operating system asks for it, with nothing lost.

Terminals and batch systems ask by a signal: Ctrl-C, SIGTERM, SIGHUP, and what is sent ahead of a
time limit. Inside `answering` the first one raises `Stopped` in the main thread or, inside
`deferred`, waits until the work at hand has come to a point where it can be saved.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
_UNTOUCHED = (signal.SIG_DFL, signal.default_int_handler)  # nobody else answers the signal
_SHOW_CURSOR = "\x1b[?25h"  # a progress bar hides it


class Stopped(BaseException):
    """A signal has ended the work, which is not a failure; as text, the sentence for the user.

    `saved` says what was saved on the way out, and `remedy` how to go on. `reason` is that of a
    process that has asked itself to stop. `begun` is whether it came so far as to look at cells.
    `exit_code` is 128 + the signal's number, as shells have it, where nobody decides otherwise.
    """

    remedy = "what is finished is kept: run the same command again and it goes on"

    def __init__(self, number: int, saved: Sequence[str] = (), reason: str | None = None) -> None:
        super().__init__(number)
        self.number, self.saved, self.reason = number, list(saved), reason
        self.begun = False
        self.exit_code = 128 + number

    def __str__(self) -> str:
        name = signal.Signals(self.number).name
        how = "interrupted" if self.number == signal.SIGINT else f"stopped by {name}"
        how = how if self.reason is None else f"stopped, since {self.reason}"
        saved = [f"saved: {' and '.join(self.saved)}"] if self.saved else []
        return "; ".join([how, *saved, self.remedy])


class Interrupted(Stopped, KeyboardInterrupt):
    """Ctrl-C: Python code around the work sees what it always sees."""

    def __init__(
        self,
        number: int = signal.SIGINT,
        saved: Sequence[str] = (),
        reason: str | None = None,
    ) -> None:
        super().__init__(number, saved, reason)


class Ended(Stopped, SystemExit):
    """Any other signal: where nobody catches it, the process exits with its code."""

    def __init__(self, number: int, saved: Sequence[str] = (), reason: str | None = None) -> None:
        super().__init__(number, saved, reason)
        self.code = self.exit_code


def _stopped(number: int, saved: Sequence[str] = ()) -> Stopped:
    kind = Interrupted if number == signal.SIGINT else Ended
    return kind(number, saved, _ANSWER.reason)


def behind(error: BaseException) -> Stopped | None:
    """The stop that somebody has made another error of: imports do, and class bodies."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        if isinstance(link, Stopped):
            return link
        seen.add(id(link))
        link = link.__cause__ or link.__context__
    return None


def refuse_wrapped(error: BaseException) -> None:
    """Let a stop go on that somebody has made another error of.

    Raises:
        Stopped: it stands behind the error.
    """
    if (stop := behind(error)) is not None:
        raise stop


class StopRequest:
    """Whether a signal has asked to stop; true if one has."""

    def __init__(self) -> None:
        self.number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None

    def fulfil(self, *saved: str) -> None:
        """Stop if it was asked for, now that what `saved` names is on disk.

        Raises:
            Stopped: it was asked for.
        """
        number, self.number = self.number, None
        if number is not None:
            raise _stopped(number, saved)


class _Answer:
    """The handler of all signals. They are the process's, and so is this."""

    def __init__(self) -> None:
        self.second: Callable[[int], None] | None = None  # None: not installed
        self.asked = False
        self.reason: str | None = None  # why this process has asked itself
        self.is_last = False  # the process ends now: further signals have nothing to say
        self.request: StopRequest | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.asked and self.second is not None:
            self.second(number)
            return
        self.asked = True
        _leave_dead_terminals()
        if self.request is None:
            raise _stopped(number)
        self.request.number = number
        _say("saving what is computed; once more ends at once")


_ANSWER = _Answer()


def ask(reason: str) -> bool:
    """Ask this process to stop, from one of its threads, as SIGTERM would; whether it will.

    It will not where signals are not answered as this module says, nor a second time.

    Args:
        reason: why, as the end of a sentence that begins with "stopped, since".
    """
    if _ANSWER.second is None or _ANSWER.asked:
        return False
    _ANSWER.reason = reason
    # To the main thread, which may be waiting for something: a signal ends the wait.
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    else:  # Windows, where it comes to know when the wait is over
        _thread.interrupt_main(signal.SIGTERM)
    return True


def again(number: int) -> None:
    """What a second signal does to a caller's process: Ctrl-C interrupts at once, others end it."""
    if number == signal.SIGINT:
        raise _stopped(number)
    die(number)


def die(number: int) -> None:
    """What a second signal does to a command: it ends at once, by that signal."""
    _say(_SHOW_CURSOR)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def ignore(number: int) -> None:
    """What a second signal does to a process that another one waits for."""


@contextmanager
def answering(
    *,
    second: Callable[[int], None] = again,
    take_back: Sequence[int] = (),
    tell: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Answer signals inside the block as this module says; the handlers before are put back.

    Only the main thread can. Elsewhere, and inside another such block, nothing changes, nor for
    signals that somebody else handles, or that are ignored (as with nohup).

    Args:
        second: what a further signal does.
        take_back: signals that are answered although they are ignored.
        tell: gets the sentence if a signal other than Ctrl-C, which Python shows, ends the block.
    """
    if threading.current_thread() is not threading.main_thread() or _ANSWER.second is not None:
        yield
        return
    before: dict[int, Any] = {}
    _ANSWER.second, _ANSWER.asked, _ANSWER.reason, _ANSWER.is_last = second, False, None, False
    try:
        for number in SIGNALS:
            handler = signal.getsignal(number)
            ignored = handler == signal.SIG_IGN and number in take_back
            if handler in _UNTOUCHED or ignored:
                before[number] = signal.signal(number, _ANSWER)
        yield
    except Ended as stop:
        if tell is not None:
            tell(str(stop))
        raise
    except Exception as error:  # whatever others have made of a stop
        refuse_wrapped(error)
        raise
    finally:
        for number, handler in before.items():
            unheard = _ANSWER.is_last and number != signal.SIGINT
            signal.signal(number, signal.SIG_IGN if unheard else handler)
        _ANSWER.second = None


@contextmanager
def only_once() -> Iterator[None]:
    """Inside the block only Ctrl-C counts as a second signal, others that follow do nothing; nor
    do they when a signal has ended the block, and the process is about to end.

    Batch systems may send theirs several times, to a job and to each of its steps.
    """
    before = _ANSWER.second

    def second(number: int) -> None:
        if number == signal.SIGINT and before is not None:
            before(number)

    if before is not None:
        _ANSWER.second = second
    try:
        yield
        _ANSWER.second = before
    except Ended:
        _ANSWER.is_last = True
        raise
    except BaseException:  # Ctrl-C too, after which the process may live on
        _ANSWER.second = before
        raise


@contextmanager
def deferred() -> Iterator[StopRequest]:
    """Inside the block a signal only asks; who works there looks at the request and fulfils it.

    Raises:
        Stopped: at the end of the block, for a request that nobody fulfilled.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    _ANSWER.request = request
    try:
        yield request
    finally:
        _ANSWER.request = None
        request.fulfil()


@contextmanager
def thrown_away() -> Iterator[None]:
    """Let a signal that ends the block say that nothing is kept, for work in a temporary folder."""
    try:
        yield
    except Stopped as stop:
        stop.saved, stop.remedy = [], "run the same command again"
        raise


@contextmanager
def blocked() -> Iterator[None]:
    """Let signals wait until the block ends; a process started inside takes `unblock`."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows, where no signal waits
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock() -> None:
    """Take the signals that have waited since `blocked` in the parent process."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _say(text: str) -> None:
    """Write to a terminal from within a handler, past the buffers that may be in use."""
    if os.isatty(2):
        with suppress(OSError):
            os.write(2, f"\r{text}\r\n".encode())


def _leave_dead_terminals() -> None:
    """Write to nowhere where the terminal is gone: what is to be saved must not fail at that."""
    for handle in (1, 2):
        try:
            os.write(handle, b"")
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, handle)
            os.close(nowhere)
