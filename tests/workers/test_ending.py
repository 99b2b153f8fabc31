"""When a worker stops, and what it may begin before: with clocks given, and no waiting."""

from __future__ import annotations

import math
import os
import pickle
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from promptbench.errors import UserError
from promptbench.running import cell as cell_
from promptbench.running import here
from promptbench.support import stopping
from promptbench.support.stopping import Ended, Stopped, answering, deferred
from promptbench.workers.looking_on import cancelling
from promptbench.workers.plan import places
from promptbench.workers.plan.roster import Entry
from promptbench.workers.working import minding, work
from promptbench.workers.working.deadline import Deadline
from promptbench.workers.working.ending import TRY_AGAIN, ending
from promptbench.workers.working.span import SLURM_END, Span, span_of
from tests.workers.test_orders import order_of
from tests.workers.test_status import NOW, done, entry, planned


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The handlers of a program that has none of its own, put back after each test."""
    numbers = [number for number in stopping.SIGNALS if number != signal.SIGINT]
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@dataclass
class Clock:
    time: float = NOW

    def __call__(self) -> float:
        return self.time


@dataclass
class Named:
    id: str


def deadline(out: Path, clock: Clock, seconds: float, *more: Entry) -> Deadline:
    """With one cell done, of ten epochs of 4 s and 5 s of all else."""
    planned(out, "a", [entry(0), *more])
    done(out, entry(0), NOW - 100)
    return knowing(Deadline(Span(NOW, NOW + seconds), out, 300, clock), entry(0), *more)


def knowing(limit: Deadline, *entries: Entry) -> Deadline:
    limit.know(entries)
    return limit


def may(limit: Deadline, entry: Entry) -> bool:
    return limit.may_begin(Named(entry.id))  # type: ignore[arg-type]


def test_a_training_is_begun_if_it_can_be_saved(tmp_path: Path) -> None:
    clock, cell = Clock(), entry(1)
    limit = deadline(tmp_path, clock, 100, cell)
    assert limit.span.stop == NOW + 90  # a tenth is for saving
    assert may(limit, cell)
    clock.time = limit.span.stop - 4.5  # an epoch of 4 s can be saved
    assert may(limit, cell)
    clock.time = limit.span.stop - 3.5
    assert not may(limit, cell)


def test_a_long_epoch_is_saved_within(tmp_path: Path) -> None:
    cell = entry(1, steps=20_000)  # 4000 s an epoch, a snapshot every 300 s
    clock = Clock()
    limit = deadline(tmp_path, clock, 1000, cell)
    clock.time = limit.span.stop - 301
    assert may(limit, cell)
    clock.time = limit.span.stop - 299
    assert not may(limit, cell)


@pytest.mark.parametrize("trained", [True, False])
def test_what_cannot_be_saved_must_be_finished(tmp_path: Path, trained: bool) -> None:
    cell = entry(1) if trained else entry(1, epochs=0, steps=0)
    clock = Clock()
    limit = deadline(tmp_path, clock, 1000, cell)
    (tmp_path / cell.training_folder).mkdir(parents=True)
    if trained:
        (tmp_path / cell.training_folder / "training.json").write_text("{}")
    clock.time = limit.span.stop - 5.1
    assert may(limit, cell)
    clock.time = limit.span.stop - 4.9
    assert not may(limit, cell)


def test_what_is_not_known_is_begun_while_there_is_time(tmp_path: Path) -> None:
    clock, cell = Clock(), entry(1)
    planned(tmp_path, "a", [cell])
    limit = knowing(Deadline(Span(NOW, NOW + 600), tmp_path, 300, clock), cell)
    clock.time = limit.span.stop - 1
    assert may(limit, cell) and limit.over() is None
    clock.time = limit.span.stop
    assert not may(limit, cell) and (limit.over() or "").startswith("its time ends at ")


def test_paces_are_looked_up_again(tmp_path: Path) -> None:
    clock, cell = Clock(), entry(1, epochs=0, steps=0)
    planned(tmp_path, "a", [entry(0), cell])
    limit = knowing(Deadline(Span(NOW, NOW + 3000), tmp_path, 300, clock), entry(0), cell)
    clock.time = limit.span.stop - 700
    assert may(limit, cell)
    done(tmp_path, entry(0), NOW)
    clock.time = limit.span.stop - 1
    assert not may(limit, cell)


def test_a_deadline_is_handed_to_processes(tmp_path: Path) -> None:
    made = knowing(Deadline(Span(NOW, NOW + 60), tmp_path, 300), entry(1))
    assert pickle.loads(pickle.dumps(made)).span.stop == NOW + 54


def test_who_says_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: NOW)
    slurm = {SLURM_END: "1700000000"}
    assert span_of(None, None, slurm) == Span(NOW, 1_700_000_000)
    assert span_of(None, 2, slurm).end == NOW + 120
    assert span_of("2026-01-31T18:00+00:00", None, slurm).end == 1_769_882_400
    assert span_of(None, None, {}) == span_of(None, None, {SLURM_END: "UNLIMITED"}) == Span(NOW)
    assert Span(NOW).stop == math.inf
    for until, minutes, said in (
        ("tomorrow", None, "--until tomorrow: it must be a time such as"),
        (None, 0, "--minutes 0: it must be more than 0"),
        (None, float("nan"), "must be more than 0"),
        ("2026-01-31T18:00", 3, "give one of them"),
    ):
        with pytest.raises(UserError, match=said):
            span_of(until, minutes, {})


def test_cells_that_may_not_begin_are_left_to_others(tmp_path: Path) -> None:
    class NoneLeft(Deadline):
        def may_begin(self, cell: Any) -> bool:
            return False

    limit = NoneLeft(Span(NOW, NOW), tmp_path, 300)
    begun: list[Any] = []
    lab: Any = SimpleNamespace(out=tmp_path)
    here.work_through([Named("a"), Named("b")], lab, lambda *a: begun.append(a), limit)  # type: ignore
    assert not begun


@pytest.mark.parametrize("of_others", [0, 1])
def test_a_worker_without_time_says_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_others: int
) -> None:
    """It is started again only if that leads anywhere."""
    path, pending = order_of(tmp_path, shots=1).write(), iter([2, 2 - of_others])
    monkeypatch.setattr(Deadline, "may_begin", lambda *_: False)
    monkeypatch.setattr(work, "_count_left", lambda *_: next(pending))
    with pytest.raises(work.Unfinished, match=r"cells? left that cannot be finished") as caught:
        work.carry_out(path, span=Span(NOW, 4e9))
    assert caught.value.exit_code == (TRY_AGAIN if of_others else 1)
    assert ("give workers more time" in str(caught.value)) == (not of_others)
    assert not list(tmp_path.glob("demo/*/*/*/record.json"))


def test_a_worker_minds_that_its_plan_is_cancelled(tmp_path: Path) -> None:
    folder = tmp_path / "plan"

    def reason() -> str | None:
        return "it was cancelled" if cancelling.is_cancelled(folder) else None

    with pytest.raises(Stopped) as caught, answering(), deferred() as stop:
        with minding.minding(reason, pause=0.001):
            cancelling.mark(folder)
            while not stop:
                pass
        stop.fulfil("step 3")
    assert str(caught.value).startswith("stopped, since it was cancelled; saved: step 3; ")


def test_asking_is_for_those_who_answer() -> None:
    assert not stopping.ask("nobody would hear it")
    with pytest.raises(Ended), answering(), deferred():
        assert stopping.ask("once")
        assert not stopping.ask("twice")
    with pytest.raises(Ended) as caught, answering():
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.reason is None  # that of before is forgotten


@contextmanager
def at_cells() -> Iterator[None]:
    """As a worker that has begun with cells notes it."""
    try:
        yield
    except Stopped as stop:
        stop.begun = True
        raise


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP])
def test_a_signal_ends_a_worker_with_its_code(tmp_path: Path, number: signal.Signals) -> None:
    with pytest.raises(Ended) as caught, answering(), ending(tmp_path, Span(NOW)), at_cells():
        os.kill(os.getpid(), number)
    assert caught.value.exit_code == caught.value.code == TRY_AGAIN
    assert str(caught.value) == (
        f"stopped by {number.name}; what is finished is kept: start this worker again and it goes "
        "on"
    )
    assert signal.getsignal(number) == signal.SIG_IGN  # the process ends: no other counts


@pytest.mark.parametrize(
    ("number", "span", "code"),
    [
        (signal.SIGUSR1, Span(NOW), 1),
        (signal.SIGUSR1, Span(NOW, NOW + 3600), TRY_AGAIN),  # of a preemption, so early
        (signal.SIGTERM, Span(NOW), TRY_AGAIN),
        (signal.SIGTERM, Span(NOW, NOW), 1),
    ],
)
def test_a_worker_whose_time_is_over_before_it_has_begun_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, span: Span, code: int
) -> None:
    monkeypatch.setattr("time.time", lambda: NOW)
    with pytest.raises(Ended) as caught, answering(), ending(tmp_path, span):
        os.kill(os.getpid(), number)
    assert caught.value.exit_code == caught.value.code == code
    assert str(caught.value).endswith("give workers more time") == (code == 1)


@pytest.mark.parametrize(
    ("number", "at", "began", "end", "counts"),
    [
        (signal.SIGUSR1, 3500, 10, 3600, True),  # as Slurm warns
        (signal.SIGUSR1, 600, 10, 3600, False),  # as it announces a preemption, where asked to
        (signal.SIGUSR1, 600, 10, 1200, True),
        (signal.SIGUSR1, 600, 10, math.inf, True),  # nobody has said when the time is over
        (signal.SIGTERM, 600, 10, math.inf, False),
        (signal.SIGTERM, 3500, 10, 3600, False),
        (signal.SIGTERM, 3545, 10, 3600, True),  # the worker itself
        (signal.SIGUSR1, 3500, 1800, 3600, False),  # other cells had more of the time
    ],
)
def test_when_a_cell_has_had_a_workers_time(
    tmp_path: Path, number: int, at: float, began: float, end: float, counts: bool
) -> None:
    clock = Clock(NOW + 10)  # it took so long to begin with the first cell
    limit = Deadline(Span(NOW, NOW + end), tmp_path, 300, clock)
    limit.may_begin(Named("a"))  # type: ignore[arg-type]
    clock.time = NOW + at
    assert limit.cut_off(NOW + began, Ended(number)) == counts


def test_a_cell_that_does_not_fit_into_the_time_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warning comes in the evaluation, of which nothing can be saved."""
    order = order_of(tmp_path, shots=1, baseline=False, set=["Recipe.epochs=1"])
    path, clock, begun = order.write(), Clock(), []
    monkeypatch.setattr(work, "Deadline", partial(Deadline, clock=clock))

    def score(*_: Any) -> None:
        clock.time += 50
        os.kill(os.getpid(), signal.SIGUSR1)

    monkeypatch.setattr(cell_, "score", score)
    for _ in range(3):  # the first comes further: it trains
        clock.time = NOW
        with pytest.raises(Ended) as caught, answering():
            work.carry_out(path, span=Span(NOW - 100, NOW + 100))
        begun.append(caught.value.begun)
    assert begun == [True] * 3
    assert work.carry_out(path, span=Span(NOW - 100, NOW + 100)) == 1
    (log,) = tmp_path.glob("demo/*/*/*/failed.log")
    assert "does not fit into a worker's time; give workers more time" in log.read_text()


def test_the_worker_of_a_cancelled_plan_is_not_started_again(tmp_path: Path) -> None:
    cancelling.mark(tmp_path)
    with pytest.raises(Ended) as caught, answering(), ending(tmp_path, Span(NOW)):
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.exit_code == 0
    assert str(caught.value) == "stopped by SIGTERM; what is finished is kept"


def test_only_ctrl_c_counts_twice(tmp_path: Path) -> None:
    seconds: list[int] = []
    with (
        pytest.raises(Ended),
        answering(second=seconds.append, take_back=(signal.SIGINT,)),
        ending(tmp_path, Span(NOW)),
        deferred(),
    ):
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            os.kill(os.getpid(), number)
    assert seconds == [signal.SIGINT]


def test_a_stop_stays_one_whatever_is_made_of_it() -> None:
    """As packages do that are being imported when the signal comes."""
    with pytest.raises(Ended), answering():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except BaseException as error:
            raise RuntimeError("a class could not be made") from error
    with pytest.raises(ZeroDivisionError), answering():
        raise ZeroDivisionError


def test_cancelling_names_each_plan_and_what_was_done(tmp_path: Path) -> None:
    first, second = planned(tmp_path, "a", [entry(0)]), planned(tmp_path, "b", [entry(1)])
    done(tmp_path, entry(0), NOW)
    assert list(cancelling.cancel(tmp_path)) == [
        "plan a: no cell is left, so nothing is cancelled",
        "plan b: cancelled; workers see it within ten seconds, save and end; no engine has noted "
        "jobs",
    ]
    assert not cancelling.is_cancelled(first) and cancelling.is_cancelled(second)
    (first / places.JOBS).write_text('{"engine": "processes", "jobs": ["1"]}')
    (said,) = cancelling.cancel(tmp_path, "a")
    assert said.endswith("save and end; its workers end by themselves")
    (first / places.JOBS).write_text('{"engine": "gone", "jobs": []}')
    (said,) = cancelling.cancel(tmp_path, "a")
    assert "it was cancelled before; its jobs could not be ended from here (unknown" in said
    with pytest.raises(UserError, match=r"--plan c: no such plan in .*; there are a, b"):
        list(cancelling.cancel(tmp_path, "c"))
    with pytest.raises(UserError, match="there is nothing to cancel"):
        list(cancelling.cancel(tmp_path / "x"))


def test_a_plan_of_another_version_can_be_cancelled(tmp_path: Path) -> None:
    folder = planned(tmp_path, "a", [])
    (folder / places.CELLS).unlink()
    (folder / places.PLAN).write_text('{"version": 9')
    (said,) = cancelling.cancel(tmp_path)
    assert said.startswith("plan a: cancelled; ")
