"""Cells that kill their workers are left alone; workers killed from outside blame no cell."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from promptbench import records
from promptbench.core.registry import METHODS
from promptbench.executors import processes
from promptbench.planning import plan
from promptbench.planning.cells import Cell
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request
from promptbench.running import attempts, failures, here
from promptbench.running.executor import Limit, Work
from promptbench.running.lab.compute import Compute
from promptbench.storage import leases
from promptbench.support.stopping import Ended, Stopped
from promptbench.tracking import Listener
from promptbench.tracking.remote import Receiver
from tests.faults import driver
from tests.faults.driver import NOISY, TINY

FORK = multiprocessing.get_context("fork")
Fake = Any  # what stands for a lab, or computes in one


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    METHODS.add_file(NOISY)
    request = Request(["noisy"], "base_to_new", datasets=["counts"], seeds=[1])
    return plan.build(request, "fp32", tmp_path).cells[-1]


def lab_in(out: Path) -> Fake:
    keeper = SimpleNamespace(renew=lambda: None)
    compute = SimpleNamespace(device=SimpleNamespace(type="cpu"))
    return SimpleNamespace(out=out, listener=Listener(), keeper=keeper, compute=compute)


def worker(cell: Cell, out: Path, work: Callable[[], None]) -> int | None:
    """The exit code of a process that computes a cell in which `work` happens."""

    def run(*_: Any) -> None:
        work()
        failures.write(cell, out, "it came to its end")

    def child() -> None:
        here.within_memory = lambda *_: run()  # type: ignore[assignment]
        here.work_through([cell], lab_in(out), run)  # type: ignore[arg-type]

    process = FORK.Process(target=child)
    process.start()
    process.join()
    return process.exitcode


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def nothing() -> None: ...


def test_two_deaths_at_the_same_place_are_enough_whoever_tried(
    cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (7, 8):
        monkeypatch.setenv("SLURM_JOB_ID", str(number))
        assert worker(cell, tmp_path, die) == -signal.SIGKILL
        assert failures.reason_of(cell, tmp_path) is None
    assert worker(cell, tmp_path, nothing) == 0  # it is not even tried
    why = failures.reason_of(cell, tmp_path) or ""
    assert why.startswith("the last 2 attempts ended with their processes (")
    assert "Slurm job 7" in why and "Slurm job 8" in why and "came no further" in why
    assert [path.name for path in cell.folder(tmp_path).iterdir()] == ["failed.log"]
    failures.forget([cell], tmp_path)
    assert worker(cell, tmp_path, nothing) == 0
    assert failures.reason_of(cell, tmp_path) == "it came to its end"


@pytest.mark.parametrize("where", ["training", "predictions"])
def test_an_attempt_that_came_further_starts_the_count_again(
    cell: Cell, tmp_path: Path, where: str
) -> None:
    def further_and_die() -> None:
        if where == "training":
            path = cell.training_folder(tmp_path) / "checkpoint.pt"
        else:
            folder = cell.folder(tmp_path) / "predictions"
            path = folder / f"{len(list(folder.glob('*')))}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (path.stat().st_size + 1 if path.exists() else 1))
        die()

    for _ in range(4):
        assert worker(cell, tmp_path, further_and_die) == -signal.SIGKILL
    assert worker(cell, tmp_path, die) == -signal.SIGKILL
    assert worker(cell, tmp_path, nothing) == 0
    assert failures.reason_of(cell, tmp_path) == "it came to its end"


def test_a_target_that_is_predicted_again_is_no_step_further(cell: Cell, tmp_path: Path) -> None:
    """Nor if its bytes differ, as on another kind of GPU."""
    path = cell.folder(tmp_path) / "predictions" / "counts-base.csv.gz"

    def again_and_die() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (1 + time.time_ns() % 1000))
        die()

    for _ in range(3):  # after the first, the cell has come further
        assert failures.reason_of(cell, tmp_path) is None
        assert worker(cell, tmp_path, again_and_die) == -signal.SIGKILL
    assert worker(cell, tmp_path, nothing) == 0
    assert "came no further" in (failures.reason_of(cell, tmp_path) or "")


class CutOff(Limit):
    """The limit of a worker that took an hour for a cell until its time was over."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        self.time += 3600
        return self.time

    def cut_off(self, began: float, stop: Stopped) -> bool:
        return stop.number == signal.SIGUSR1


def cut_off(cell: Cell, out: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), attempts.counted(cell, out, CutOff()):
        raise error


def wrapped(error: BaseException) -> Exception:
    """As imports make others of what comes through them."""
    other = RuntimeError("a class could not be made")
    other.__cause__ = error
    return other


def test_two_ends_of_time_at_the_same_place_are_enough(cell: Cell, tmp_path: Path) -> None:
    cut_off(cell, tmp_path, Ended(signal.SIGUSR1))
    cut_off(cell, tmp_path, Ended(signal.SIGTERM))  # for another reason: not counted
    cut_off(cell, tmp_path, wrapped(Ended(signal.SIGUSR1)))
    with (
        pytest.raises(attempts.Deadly, match=r"came no further .*: 60 min; .*: 60 min\): what th"),
        attempts.counted(cell, tmp_path, Limit()),
    ):
        pytest.fail("it was tried")
    assert list(cell.folder(tmp_path).iterdir()) == []  # its log comes in their place


def test_a_death_and_an_end_of_time_are_enough(cell: Cell, tmp_path: Path) -> None:
    worker(cell, tmp_path, die)
    cut_off(cell, tmp_path, Ended(signal.SIGUSR1))
    assert worker(cell, tmp_path, nothing) == 0
    why = failures.reason_of(cell, tmp_path) or ""
    assert (
        ": it died" in why and ": 60 min" in why and "give workers more time, then --retry" in why
    )


def test_an_end_of_time_that_left_a_snapshot_counts_for_nothing(cell: Cell, tmp_path: Path) -> None:
    folder = cell.training_folder(tmp_path)
    folder.mkdir(parents=True)
    for number in range(4):
        (folder / "checkpoint.pt").write_text("x" * number)
        cut_off(cell, tmp_path, Ended(signal.SIGUSR1))
    with attempts.counted(cell, tmp_path, Limit()):
        pass


def test_what_ends_in_order_is_not_counted(cell: Cell, tmp_path: Path) -> None:
    for _ in range(3):
        for error in (Ended(signal.SIGTERM), leases.LeaseLost("gone"), ValueError("a mistake")):
            with pytest.raises(type(error)), attempts.counted(cell, tmp_path, Limit()):
                assert len(list(cell.folder(tmp_path).iterdir())) == 1
                raise error
    with attempts.counted(cell, tmp_path, Limit()):
        pass
    assert list(cell.folder(tmp_path).iterdir()) == []


def test_retry_failed_forgets_the_attempts(cell: Cell, tmp_path: Path) -> None:
    for _ in range(2):
        worker(cell, tmp_path, die)
    failures.forget([cell], tmp_path)
    assert worker(cell, tmp_path, nothing) == 0
    assert failures.reason_of(cell, tmp_path) == "it came to its end"


def test_a_file_that_is_not_one_of_ours_counts_for_nothing(cell: Cell, tmp_path: Path) -> None:
    folder = cell.folder(tmp_path)
    folder.mkdir(parents=True)
    for number, text in enumerate(("", "[]", "{}", '{"reached": 1}', "\0")):
        (folder / f"attempt-{number}.json").write_text(text)
    with attempts.counted(cell, tmp_path, Limit()):
        assert len(list(folder.iterdir())) == 1


def test_cells_that_are_only_looked_at_get_no_folder(cell: Cell, tmp_path: Path) -> None:
    attempts.reached(cell, tmp_path)
    failures.forget([cell], tmp_path)
    assert not cell.folder(tmp_path).exists()


def test_a_finished_cell_has_no_attempts(tmp_path: Path) -> None:
    """Neither its own nor that of a worker that died on it before."""
    short: dict[str, Any] = {"seeds": [1], "baseline": False}
    short["set"] = [*TINY["set"], "Recipe.epochs=1", "Recipe.batch_size=8"]
    driver.run(tmp_path / "before", **short)
    (path,) = records.find([tmp_path / "before"])
    folder = tmp_path / "out" / path.parent.relative_to(tmp_path / "before")
    folder.mkdir(parents=True)
    nothing_yet = hashlib.sha256(b"[]").hexdigest()
    died = folder / "attempt-0.json"
    died.write_text(json.dumps({"reached": nothing_yet, "who": "node7 pid 41"}))
    driver.run(tmp_path / "out", **short)
    names = sorted(found.name for found in folder.iterdir())
    assert names == sorted(found.name for found in path.parent.iterdir())


def test_a_worker_s_deaths_are_counted_in_two_places_and_reported_once(
    cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent of workers knows how they ended; a cell that came further gets another chance."""
    told: list[str] = []
    listener = Listener()
    monkeypatch.setattr(listener, "cell_failed", lambda cell, reason, log: told.append(reason))
    monkeypatch.setattr(processes._Crew, "start", lambda *_: None)
    compute = Compute(SimpleNamespace(type="cpu"), "fp32")  # type: ignore[arg-type]
    crew = processes._Crew(Work([], [cell], Machine(out=tmp_path), compute, listener))
    deaths: Counter[str] = Counter()

    def bury() -> None:
        ours, _ = processes._SPAWN.Pipe(duplex=False)
        process: Any = SimpleNamespace(join=lambda *_: None, exitcode=-signal.SIGKILL)
        receiver = Receiver(Listener(), {})
        receiver.cell = cell
        crew.workers.append(processes._Worker(0, process, ours, receiver))
        processes._bury(crew.workers[0], crew, deaths)

    checkpoint = cell.training_folder(tmp_path) / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True)
    for step in range(3):
        checkpoint.write_bytes(b"x" * step)
        bury()
    assert told == [] and failures.reason_of(cell, tmp_path) is None
    failures.write(cell, tmp_path, "a worker has seen that two died")
    bury()
    assert told == []
    assert (failures.reason_of(cell, tmp_path) or "").startswith("its process ended (SIGKILL")
