"""Signals: what the first and the second one do, and that nobody else's handler is touched."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from promptbench.support import stopping
from promptbench.support.stopping import (
    Ended,
    Interrupted,
    Stopped,
    answering,
    deferred,
    thrown_away,
)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The handlers of a program that has none of its own; they are the same after each test."""
    numbers = dict.fromkeys(stopping.SIGNALS, signal.SIG_DFL)
    numbers[signal.SIGINT] = signal.default_int_handler
    before = {number: signal.signal(number, handler) for number, handler in numbers.items()}
    yield
    found = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert found == numbers


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_a_signal_ends_the_work_with_its_code_and_a_sentence(number: signal.Signals) -> None:
    told: list[str] = []
    with pytest.raises(Stopped) as caught, answering(tell=told.append):
        send(number)
    assert caught.value.exit_code == 128 + number
    kind: Any = KeyboardInterrupt if number == signal.SIGINT else SystemExit
    assert isinstance(caught.value, kind)
    how = "interrupted" if number == signal.SIGINT else f"stopped by {number.name}"
    rest = "what is finished is kept: run the same command again and it goes on"
    assert str(caught.value) == f"{how}; {rest}"
    assert told == ([] if number == signal.SIGINT else [str(caught.value)])


def test_an_uncaught_one_exits_with_its_code() -> None:
    assert Ended(signal.SIGTERM).code == 143 and Interrupted().exit_code == 130


def test_deferred_work_is_finished_and_says_what_it_saved() -> None:
    done: list[int] = []
    with pytest.raises(Ended) as caught, answering(), deferred() as stop:
        for step in range(9):
            if step == 3:
                send(signal.SIGTERM)
            done.append(step)
            if stop:
                stop.fulfil("step 3")
    assert done == [0, 1, 2, 3]
    assert "stopped by SIGTERM; saved: step 3; what is finished is kept" in str(caught.value)


@pytest.mark.parametrize("error", [None, ValueError("its own")])
def test_a_request_that_nobody_looks_at_ends_with_its_block(error: Exception | None) -> None:
    """Also where the work fails meanwhile: the signal is not forgotten."""
    with pytest.raises(Ended), answering(), deferred():
        send(signal.SIGUSR1)
        if error is not None:
            raise error
    with answering(), deferred() as stop:
        pass
    assert not stop


def test_a_second_interrupt_does_not_wait() -> None:
    after: list[str] = []
    with pytest.raises(Interrupted), answering(), deferred():
        send(signal.SIGINT)
        after.append("first")
        send(signal.SIGINT)
        after.append("second")
    assert after == ["first"]


def test_a_second_signal_is_the_callers_choice() -> None:
    seconds: list[int] = []
    with pytest.raises(Ended), answering(second=seconds.append), deferred():
        send(signal.SIGTERM)
        send(signal.SIGHUP)
    assert seconds == [signal.SIGHUP]
    with pytest.raises(Ended), answering():  # the next block begins with none
        send(signal.SIGTERM)


def test_a_command_dies_of_the_second_one() -> None:
    child = os.fork()
    if not child:
        with answering(second=stopping.die), deferred():
            send(signal.SIGTERM)
            send(signal.SIGTERM)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM


def test_inner_blocks_change_nothing() -> None:
    with pytest.raises(Ended), answering():
        handler = signal.getsignal(signal.SIGTERM)
        with answering():
            assert signal.getsignal(signal.SIGTERM) == handler
        send(signal.SIGTERM)


def test_a_handler_of_somebody_else_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: theirs.append(number))
    with answering(), deferred() as stop:
        send(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)
    assert theirs == [signal.SIGUSR1] and not stop


def test_ignored_signals_stay_ignored_but_for_those_taken_back() -> None:
    """nohup ignores SIGHUP; a shell ignores SIGINT for what it starts in the background."""
    before = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGHUP, signal.SIGINT)}
    with answering():
        send(signal.SIGHUP)
        send(signal.SIGINT)
    with pytest.raises(Interrupted), answering(take_back=(signal.SIGINT,)):
        send(signal.SIGHUP)
        send(signal.SIGINT)
    for number, handler in before.items():
        assert signal.signal(number, handler) == signal.SIG_IGN


def test_other_threads_leave_signals_alone() -> None:
    found: list[Any] = []

    def work() -> None:
        with answering(), deferred() as stop:
            found.append((signal.getsignal(signal.SIGTERM), bool(stop)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(signal.SIG_DFL, False)]


def test_work_that_is_thrown_away_does_not_say_that_it_goes_on() -> None:
    with pytest.raises(Ended) as caught, answering(), thrown_away(), deferred() as stop:
        send(signal.SIGTERM)
        stop.fulfil("a snapshot")
    assert str(caught.value) == "stopped by SIGTERM; run the same command again"


def test_it_travels_between_processes() -> None:
    stop = pickle.loads(pickle.dumps(Ended(signal.SIGTERM, ["a", "b"])))
    assert (stop.number, stop.saved, stop.exit_code) == (signal.SIGTERM, ["a", "b"], 143)
    assert "saved: a and b;" in str(stop)


def test_a_terminal_that_is_gone_is_not_written_to() -> None:
    """What a process still has to say at SIGHUP goes nowhere, instead of failing."""
    ours, theirs = os.openpty()
    child = os.fork()
    if not child:
        for handle in (1, 2):
            os.dup2(theirs, handle)
        os.close(ours), os.close(theirs)
        code = 0
        try:
            with answering(), deferred() as stop:
                os.write(2, b"ready")
                while not stop:  # pause() would wait for ever if the signal came just before it
                    time.sleep(0.01)
                code = os.write(2, b"saved")
        except Ended as ended:
            code = ended.exit_code if code == 5 else 1
        os._exit(code)
    assert os.read(ours, 5) == b"ready"
    os.close(theirs), os.close(ours)  # the terminal's window is closed
    os.kill(child, signal.SIGHUP)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 129
